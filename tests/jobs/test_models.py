"""The example networks other than MLPs: trained by the script as a user runs it, and analysed by their factory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from jobs.models import cnn, transformer
from scalecurv.results.query import open_store
from tests.commands import ROOT, analyze
from tests.jobs.test_train import train

SIZES = {"cnn": 454, "transformer": 826}


@pytest.mark.parametrize("make", [cnn, transformer])
def test_images_of_64_pixels_to_10_outputs(make: type[nn.Module]) -> None:
    model = make()
    assert sum(p.numel() for p in model.parameters()) == SIZES[make.__name__]
    assert f"{SIZES[make.__name__]} parameters" in (make.__doc__ or "")
    model.eval()
    x = torch.rand(3, 64, generator=torch.Generator().manual_seed(0))
    outputs = model(x)
    assert outputs.shape == (3, 10)
    torch.testing.assert_close(model(x[1:2]), outputs[1:2])  # eval mode: a sample does not feel the others
    upside_down = x.unflatten(1, (8, 8)).flip(1).flatten(1)
    assert not torch.allclose(model(upside_down), outputs, atol=1e-3)  # where a row lies matters


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train with the script as a user starts it, from the root; return the folder."""
    run = tmp_path_factory.mktemp("models") / "cnn"
    words = (run, "--model", "cnn", "--steps", 150, "--lr", 0.5, "--checkpoints", 4, "--analysis-samples", 50)
    done = subprocess.run(
        [sys.executable, "jobs/train.py", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"4 checkpoints in {run}, training accuracy ")
    assert float(done.stdout.split()[-2]) > 80
    return run


def test_the_model_is_written_beside_the_checkpoints(run: Path) -> None:
    problem = {"data": "data.npz", "loss": "cross_entropy", "reduction": "mean", "model": "models:cnn"}
    assert json.loads((run / "problem.json").read_text()) == problem


def test_its_code_runs_only_where_it_is_named_too(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = analyze(run, tmp_path / "store")
    said = "asks to run models:cnn, which comes with the files; give --model models:cnn to allow it"
    assert (refused.exit_code, refused.output) == (2, f"scalecurv: {run / 'problem.json'} {said}\n")
    monkeypatch.syspath_prepend(ROOT / "jobs")
    assert analyze(run, tmp_path / "store", "--model", "models:cnn").exit_code == 0
    results = open_store(tmp_path / "store").results()
    assert list(results["status"]) == ["ok"] * 4
    assert set(results["num_params"]) == {SIZES["cnn"]}
    assert results["loss"][0] == pytest.approx(np.log(10), abs=0.3)
    assert results["loss"][3] < 0.7 * results["loss"][0]


def test_a_transformer_trains_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "jobs")
    said = train(tmp_path / "run", "--model", "transformer", "--steps", "300", "--lr", "0.5", "--checkpoints", "2")
    assert float(said.split()[-2]) > 60
    assert json.loads((tmp_path / "run" / "problem.json").read_text())["model"] == "models:transformer"


def test_the_accuracy_is_that_of_eval_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights never move: with dropout on, the accuracy would be another."""
    monkeypatch.syspath_prepend(ROOT / "jobs")
    options = ("--steps", "1", "--lr", "0", "--analysis-samples", "1797")
    said = train(tmp_path / "run", "--model", "transformer", *options)
    model, data = transformer().eval(), np.load(tmp_path / "run" / "data.npz")
    model.load_state_dict(torch.load(tmp_path / "run" / "step_1.pt", weights_only=True)["model"])
    right = model(torch.from_numpy(data["x"])).argmax(1) == torch.from_numpy(data["y"])
    assert said.endswith(f"training accuracy {100 * float(right.float().mean()):.1f} %\n")
