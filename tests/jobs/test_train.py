"""The example's training run: as many checkpoints as asked, a falling loss, the seed in charge, ready to analyse."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from scalecurv.checkpoints.load import load
from scalecurv.results.query import open_store
from tests.commands import ROOT, analyze

OPTIONS = ("--widths", "64,16,10", "--steps", "150", "--checkpoints", "6", "--analysis-samples", "50")


def train(folder: Path, *options: str) -> str:
    program = runpy.run_path(str(ROOT / "jobs" / "train.py"))["main"]
    return CliRunner().invoke(program, [str(folder), *OPTIONS, *options], catch_exceptions=False).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "run"
    said = train(folder)
    assert said.startswith(f"6 checkpoints in {folder}, training accuracy ")
    assert float(said.split()[-2]) > 60
    return folder


def test_the_first_and_the_last_step_and_about_as_many_as_asked(folder: Path) -> None:
    steps = sorted(load(path).step or 0 for path in folder.glob("step_*.pt"))
    assert len(steps) == 6
    assert (steps[0], steps[-1]) == (0, 150)
    assert np.all(np.diff(steps, 2) > 0)  # ever further apart
    assert [path.name for path in folder.glob("*.json")] == ["problem.json"]


def test_the_data_are_scaled_digits(folder: Path) -> None:
    data = np.load(folder / "data.npz")
    assert (data["x"].shape, data["x"].dtype, data["y"].shape) == ((50, 64), np.float32, (50,))
    assert (data["x"].min(), data["x"].max()) == (0, 1)
    assert set(data["y"]) == set(range(10))
    problem = {"data": "data.npz", "loss": "cross_entropy", "reduction": "mean", "activation": "relu"}
    assert json.loads((folder / "problem.json").read_text()) == problem


def test_what_it_writes_can_be_analysed_and_the_loss_falls(folder: Path, tmp_path: Path) -> None:
    assert analyze(folder, tmp_path / "store").exit_code == 0
    results = open_store(tmp_path / "store").results()
    assert list(results["status"]) == ["ok"] * 6
    assert set(results["num_params"]) == {64 * 16 + 16 + 16 * 10 + 10}
    loss = list(results["loss"])
    assert loss[0] == pytest.approx(np.log(10), abs=0.2)
    assert loss[-1] < 0.7 * loss[0]


def test_the_seed_decides(folder: Path, tmp_path: Path) -> None:
    short = ("--steps", "20", "--checkpoints", "2", "--loss", "mse")
    runs = {name: tmp_path / name for name in ("same", "again", "other")}
    for name, run in runs.items():
        train(run, *short, "--seed", "1" if name == "other" else "0")
    fingerprints = {name: [load(run / f"step_{s}.pt").fingerprint for s in (0, 20)] for name, run in runs.items()}
    assert fingerprints["same"] == fingerprints["again"]
    assert not set(fingerprints["same"]) & set(fingerprints["other"])
    start = torch.load(folder / "step_0.pt", weights_only=True)["model"]
    assert all(torch.equal(t, start[n]) for n, t in torch.load(runs["same"] / "step_0.pt")["model"].items())
    assert json.loads((runs["same"] / "problem.json").read_text())["loss"] == "mse"
