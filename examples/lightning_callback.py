"""PyTorch Lightning: curvature at every tenth step of a training, in the log of the Trainer.

python examples/lightning_callback.py
"""

import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytorch_lightning as pl
import torch
from dense import compare, dense_hessian
from lightning_checkpoints import Regression
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from scalecurv.callbacks import LightningCallback


def main(folder: Path) -> None:
    """Train with the callback; print the log; check the trace at the last step."""
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = torch.stack([x[:, 0] * x[:, 1], x.sum(1).sin()], 1)
    # The data is that of the training's loader, of which samples are drawn; its own order does not change.
    watch = LightningCallback(
        loss="MSELoss",
        network="net",  # what is differentiated: an attribute of the module, or a function of it
        measures=("trace", "lambda_max"),
        every=10,
        budget=None,
        dtype="float64",
    )
    module, logger = Regression(criterion=nn.MSELoss()), CSVLogger(folder)
    trainer = pl.Trainer(
        max_steps=20,
        accelerator="cpu",
        callbacks=[watch],
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True))

    table = pd.read_csv(Path(logger.log_dir) / "metrics.csv").set_index("step")
    print(table[[f"curvature/{name}" for name in ("trace", "lambda_max", "lambda_max_lower")]].to_string())

    module.double().eval()
    H = dense_hessian(module, nn.MSELoss()(module.net(x.double()), y.double()))
    compare("trace at step 20", table["curvature/trace"].loc[20], H.trace())


if __name__ == "__main__":
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|torch")  # advice about workers and logging
    with TemporaryDirectory() as name:
        main(Path(name))
