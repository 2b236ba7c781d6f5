"""A real Trainer of Lightning: the training is bit for bit the one without, and its loggers get the numbers."""

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import scalecurv as sc
from scalecurv.callbacks import LightningCallback
from tests.callbacks.loops import data, left_behind, network

# advice on loaders, loggers and folders, which is not about the callback
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


class Classifier(pl.LightningModule):
    """Dropout and batch norm in a network, and no forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x + np.random.normal(scale=0.1)), y)  # noqa: NPY002
        self.losses.append(loss.item())
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Whole(Classifier):
    """A module that is a network itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def fit(folder: Path, callback: Any = None, **options: Any) -> tuple[Classifier, dict[str, Any], pl.Trainer]:
    """Train for 5 steps; return the module, all that is left, and the trainer."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    module = options.pop("make", Classifier)()
    others = options.pop("callbacks", ())
    options = {"max_steps": 5, "logger": False, "enable_checkpointing": False, **options}
    trainer = pl.Trainer(
        **options,
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=[*others, *([callback] if callback else [])],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, DataLoader(TensorDataset(*data()), batch_size=16, shuffle=True))
    return module, dict(left_behind(module.net, trainer.optimizers[0])), trainer


def callback(**options: Any) -> LightningCallback:
    return LightningCallback(**{"network": "net", "every": 2, "budget": None, **options})


@pytest.mark.parametrize("options", [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2}])
def test_a_training_is_bit_for_bit_the_one_without(options: dict[str, Any], tmp_path: Path) -> None:
    watch = callback()
    alone, left, _ = fit(tmp_path, **options)
    watched, beside, _ = fit(tmp_path, watch, **options)
    assert (watch.monitor.measured, watch.monitor.failed) == (3, 0)  # at steps 0, 2 and 4
    assert watched.losses == alone.losses
    assert {name for name in left if left[name] != beside[name]} == set()


def test_loggers_get_numbers_and_intervals(tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, "csv"), TensorBoardLogger(tmp_path, "board")]
    watch = callback(measures="trace, lambda_max", data=data())
    fit(tmp_path, watch, logger=loggers)
    expected = {f"curvature/{name}{end}" for name in ("trace", "lambda_max") for end in ("", "_lower", "_upper")}
    with open(Path(loggers[0].log_dir) / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["curvature/trace"]]
    assert [int(row["step"]) for row in rows] == [0, 2, 4]
    events = EventAccumulator(loggers[1].log_dir).Reload()
    assert expected <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("curvature/trace")] == [0, 2, 4]
    for name in expected:
        values = [event.value for event in events.Scalars(name)]
        assert values == pytest.approx([float(row[name]) for row in rows], rel=1e-6)


def test_the_numbers_are_those_of_the_checkpoints(tmp_path: Path) -> None:
    """The run is the folder of the checkpoints, whose analysis takes the rows over."""
    store = tmp_path / "store"
    x, y = data()
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=y.numpy())
    saved = ModelCheckpoint(tmp_path / "run", every_n_train_steps=2, save_top_k=-1)
    watch = callback(data=tmp_path / "data.npz", model="tests.callbacks.loops:network", store=store)
    fit(tmp_path, watch, callbacks=[saved], enable_checkpointing=True)
    options: dict[str, Any] = {"data": tmp_path / "data.npz", "loss": "cross_entropy", "model": network}
    settings = {"measures": ("trace", "lambda_max"), "rtol": 0.1, "engine": "serial"}
    outcomes = sc.sweep(tmp_path / "run", store, **options, **settings)
    assert [(outcome.step, outcome.records) for outcome in outcomes] == [(2, ()), (4, ())]
    table = sc.open_store(store).sql("select step, epoch, checkpoint from results order by step")
    assert table["step"].tolist() == [0, 2, 4]
    assert [Path(path).suffix for path in table["checkpoint"]] == ["", ".ckpt", ".ckpt"]


def test_networks_that_are_not_there_are_told_when_fit_begins(tmp_path: Path) -> None:
    for network_, words in (
        (None, "Classifier has no forward of its own; give network='NAME' of its parts: net"),
        ("nets", "network is 'nets', and Classifier has no such attribute; it has net"),
        ("losses", "network 'losses' of Classifier is a list"),
    ):
        with pytest.raises(sc.Misuse, match=words):
            fit(tmp_path, callback(network=network_))
    with pytest.raises(TypeError, match="measure"):
        LightningCallback(measure="trace")


def test_a_network_may_be_found_by_a_function_and_a_failure_ends_no_fit(tmp_path: Path) -> None:
    watch = callback(network=lambda module: module.net)
    fit(tmp_path, watch)
    assert watch.monitor.measured == 3
    watch = callback(loss=lambda f, y: f[:, :1] / 0)
    _, left, _ = fit(tmp_path, watch)
    assert watch.monitor.failed == 3
    assert left == fit(tmp_path)[1]


def test_a_module_with_a_forward_needs_no_name(tmp_path: Path) -> None:
    logged: list[dict[str, float]] = []
    for make, name in ((Whole, None), (Classifier, "net")):
        watch = callback(network=name, logger=lambda values, step: logged.append(values))
        fit(tmp_path, watch, make=make)
        assert (watch.monitor.measured, watch.monitor.failed) == (3, 0)
    assert logged[:3] == logged[3:]
