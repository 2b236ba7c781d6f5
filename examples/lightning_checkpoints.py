"""PyTorch Lightning: the files that ModelCheckpoint writes are read as they are, hyper-parameters and all.

python examples/lightning_checkpoints.py
"""

import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pytorch_lightning as pl
import torch
from dense import compare, dense_hessian
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import scalecurv as sc


class Regression(pl.LightningModule):
    """A small network and its loss; both are hyper-parameters, so Lightning pickles them into each file."""

    def __init__(self, width: int = 5, criterion: nn.Module | None = None):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 2))
        self.criterion = criterion or nn.MSELoss()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x, y = batch
        return self.criterion(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def train(folder: Path, data: TensorDataset) -> None:
    """Train for 20 steps, and save every 10."""
    callback = ModelCheckpoint(folder, every_n_train_steps=10, save_top_k=-1)
    trainer = pl.Trainer(
        max_steps=20,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Regression(criterion=nn.MSELoss()), DataLoader(data, batch_size=16))


def main(folder: Path) -> None:
    """Train and save; analyse; check the trace at the last step."""
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = torch.stack([x[:, 0] * x[:, 1], x.sum(1).sin()], 1)
    train(folder / "run", TensorDataset(x, y))
    torch.save((x, y), folder / "data.pt")

    # The loss has the name of torch's module, and so its mean over samples and outputs. The network is told from the
    # shapes of its tensors. Step and epoch are in the files. In a shell:
    #    scalecurv analyze run store --data data.pt --loss MSELoss --activation tanh --measure trace
    sc.sweep(
        folder / "run",
        folder / "store",
        data=folder / "data.pt",
        loss="MSELoss",
        activation="tanh",
        measures="trace",
        dtype="float64",
        engine="serial",
    )
    table = sc.open_store(folder / "store").sql("select checkpoint, epoch, step, trace from results order by step")
    table["checkpoint"] = [Path(path).name for path in table["checkpoint"]]
    print(table.to_string(index=False))

    last = torch.load(folder / "run" / table["checkpoint"].iloc[-1], weights_only=False)  # our own file: we trust it
    model = Regression()
    model.load_state_dict(last["state_dict"])
    model.double()
    H = dense_hessian(model, nn.MSELoss()(model.net(x.double()), y.double()))
    compare("trace at step 20", table["trace"].iloc[-1], H.trace())


if __name__ == "__main__":
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|torch")  # advice about workers and logging
    with TemporaryDirectory() as name:
        main(Path(name))
