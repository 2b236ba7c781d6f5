"""Whatever fails in a measurement leaves the training alone: it is said once, and stored."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import scalecurv as sc
from scalecurv.callbacks import Monitor
from scalecurv.callbacks import monitor as module
from scalecurv.errors import StoreError
from tests.callbacks.loops import data, left_behind, monitor, network, plain, train


class Faulty(nn.Module):
    """A network whose forward raises."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no route")


def diverged() -> nn.Module:
    model = plain()
    nn.init.constant_(model[0].weight, torch.nan)
    return model


def uncopied() -> nn.Module:
    model = plain()
    model.lines = (line for line in ())
    return model


FAULTS = {
    "not finite": (diverged, "parameter '0.weight' holds 30 non-finite value"),
    "forward": (Faulty, "the model does not take x of shape (48, 6): no route"),
    "no copy": (uncopied, "the Sequential cannot be copied (TypeError: cannot pickle 'generator' object); give the"),
    "another width": (lambda: nn.Linear(4, 3), "of shape (48, 6): mat1 and mat2 shapes cannot be multiplied"),
    "no parameter": (nn.ReLU, "the model has no trainable parameter"),
    "no module": (lambda: "model", "model is a str; give the torch.nn.Module that is trained"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_is_said_once_and_stored(fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make, reason = FAULTS[fault]
    watch = monitor(every=1, store=tmp_path / "store", run=tmp_path / "run")
    model = make()
    before = dict(left_behind(model)) if isinstance(model, nn.Module) else {}
    with caplog.at_level(logging.WARNING):
        assert [watch(model, step) for step in range(3)] == [None] * 3
    assert (watch.measured, watch.failed) == (0, 3)
    assert (dict(left_behind(model)) if isinstance(model, nn.Module) else {}) == before
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("curvature at step 0 is not measured, and training goes on: ")
    assert reason in line
    assert caplog.records[0].exc_info is None
    stored = sc.open_store(tmp_path / "store").sql("select step, status, error from results order by step")
    assert stored["step"].tolist() == [0, 1, 2]
    assert set(stored["status"]) == {"failed"}
    assert reason in stored["error"][0]
    assert watch(plain(), 3) is not None


@pytest.mark.parametrize(
    "error", [MemoryError("64 GiB"), torch.OutOfMemoryError("CUDA out of memory"), KeyError("bug")]
)
def test_errors_of_any_kind_end_no_training(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(*_: object) -> Any:
        torch.rand(3)
        raise error

    monkeypatch.setattr(module, "measured", raises)
    losses, left, _ = train(None)
    watch = monitor()
    watched, beside, _ = train(watch)
    assert (watched, beside, watch.failed) == (losses, left, 2)
    assert len(caplog.records) == 1
    assert (caplog.records[0].exc_info is not None) == isinstance(error, KeyError)  # the trace of a bug is shown


def test_a_full_disk_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the store cannot be written (No space left on device); make room")

    monkeypatch.setattr("scalecurv.callbacks.outcomes.write_part", full)
    watch = monitor(every=1, store=tmp_path / "store", run="run")
    assert [watch(model, i) for i, model in enumerate((plain(), diverged(), plain()))] == [None] * 3
    assert len(caplog.records) == 2  # the disk, and the weights


def test_a_logger_that_raises_costs_no_number(caplog: pytest.LogCaptureFixture) -> None:
    def lost(values: dict[str, float], step: int) -> None:
        raise ConnectionError("no network")

    watch = monitor(every=1, logger=lost)
    assert all(watch(plain(), step) for step in range(2))
    assert (watch.measured, watch.failed) == (2, 0)
    assert [r.getMessage() for r in caplog.records] == [
        "logger raised ConnectionError: no network; the measurements of step 0 are not logged there"
    ]


MISUSES: dict[str, tuple[dict[str, Any], str]] = {
    "every": ({"every": 0}, "every is 0; give a whole number of steps"),
    "budget": ({"budget": 5}, "budget is 5; give a share of the time above 0 and at most 1"),
    "measures": ({"measures": "traec"}, "did you mean trace"),
    "no measures": ({"measures": ()}, "measures is empty"),
    "rtol": ({"rtol": -1}, "rtol is -1; it must be positive"),
    "run": ({"store": "store"}, "no run is given; give run='runs/lr0.1'"),
    "logger": ({"logger": "wandb"}, "logger is of type str; give a function of (dict, step)"),
    "dtype": ({"dtype": "float16"}, "dtype is 'float16'; give 'float32' or 'float64'"),
    "loss": ({"loss": "crossentropy"}, "cross_entropy"),
    "activation": ({"activation": "sine"}, "unknown activation 'sine'; choose from relu"),
    "model": ({"model": "tests.callbacks.loops:none"}, "has no none"),
    "both": ({"model": "a:b", "activation": "relu"}, "leave one of them out"),
    "lambda": ({"activation": "relu", "loss": lambda f, y: f}, "which workers cannot import"),
    "attributes": ({"attributes": {"lr": [1]}}, "give names with a number, a text or a bool"),
    "seed": ({"seed": -1}, "seed is -1"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_told_before_the_training(name: str) -> None:
    options, words = MISUSES[name]
    with pytest.raises(sc.Misuse) as raised:
        Monitor(data(), **options)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_data_that_cannot_be_read_are_told_before_the_training(tmp_path: Path) -> None:
    x, y = data()
    x[3, 1] = torch.nan
    with pytest.raises(sc.Misuse, match=r"^data: x holds 1 NaN or infinite value\(s\)"):
        Monitor((x, y))
    with pytest.raises(sc.Misuse, match="does not exist"):
        Monitor(tmp_path / "data.npz")
    assert network() is not None


def test_a_step_that_no_store_holds_is_told_at_once() -> None:
    watch = monitor(every=1)
    for step, epoch, said in ((None, None, "step is None"), (2**63, None, "64 bits"), (1, "one", "epoch is 'one'")):
        with pytest.raises(sc.Misuse, match=said):
            watch(plain(), step, epoch=epoch)
    assert watch(plain(), torch.tensor(3), epoch=1) is not None
    with pytest.raises(sc.Misuse, match="is on the device meta, without numbers"):
        sc.Problem(plain().to("meta"), data(), loss="cross_entropy")
