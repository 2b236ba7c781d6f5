"""Whatever is wrong with what comes in, one line says what came, what was wanted and what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.commands import analyze, invoke, untimed_lines
from tests.runs import write_checkpoint, write_data, write_malicious, write_not_finite, write_run, write_truncated


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    return write_run(tmp_path / "run", steps=[0])


def empty(run: Path) -> None:
    for path in run.glob("step_*"):
        path.unlink()


def data(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda run: np.savez(run / "data.npz", **arrays)


def forget(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        spec = json.loads((run / "problem.json").read_text())
        (run / "problem.json").write_text(json.dumps({key: value for key, value in spec.items() if key != name}))

    return change


def nothing(run: Path) -> None:
    """Leave the run as it is."""


X, Y = np.zeros((20, 6), np.float32), np.zeros(20, np.int64)
FACTORY = "--model tests.engine.models:"

MISUSE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "one path": (nothing, "{run}", "one path was given, {run}; give CHECKPOINTS (one or more) and then STORE"),
    "missing directory": (
        nothing,
        "{run}/none {store}",
        "{run}/none does not exist; give a directory of checkpoints, or checkpoint files",
    ),
    "empty directory": (
        empty,
        "{run} {store}",
        "no checkpoint in {run}; looked for files that end in .pt, .pth, .bin, .ckpt, .safetensors",
    ),
    "remote address": (
        nothing,
        "s3://bucket/run {store}",
        "s3://bucket/run is a remote address; copy or mount it first, and give a path that every worker sees",
    ),
    "unequal lengths": (
        lambda run: write_data(run / "data.npz", num_targets=19),
        "{run} {store}",
        "--data {run}/data.npz: x has shape (20, 6) and y has shape (19,); give one target a sample, x (N, ...) and "
        "y (N,) or (N, D)",
    ),
    "class too high": (
        lambda run: write_data(run / "data.npz", num_classes=4),
        "{run} {store}",
        "y holds classes 0..3 but the model has 3 outputs; classes run from 0 to 2 (store y as floats for regression)",
    ),
    "class too low": (
        data(x=X, y=Y - 1),
        "{run} {store}",
        "y holds classes -1..-1 but the model has 3 outputs; classes run from 0 to 2 (store y as floats for "
        "regression)",
    ),
    "width": (
        lambda run: write_data(run / "data.npz", num_inputs=7),
        "{run} {store}",
        "{run}/step_0.pt takes 6 inputs but x has 7 a sample, shape (20, 7); give the data that it was trained on",
    ),
    "no data": (
        nothing,
        "{run} {store} --data {run}/none.npz",
        "--data {run}/none.npz does not exist; "
        "give a file with arrays x and y (.npz, .npy, .pt, .safetensors, .h5 or .parquet)",
    ),
    "data said nowhere": (
        forget("data"),
        "{run} {store}",
        "data is given neither by an option nor by {run}/problem.json; give --data FILE (arrays x and y), or add "
        '"data": "data.npz" to {run}/problem.json; for example: scalecurv analyze --measure gradient --engine serial '
        "--threads 1 --data data.npz {run} {store}",
    ),
    "activation said nowhere": (
        forget("activation"),
        "{run} {store}",
        "activation is given neither by an option nor by {run}/problem.json; give --activation relu (or leaky_relu, "
        'tanh, sigmoid, gelu, silu, softplus, elu, identity), or add "activation": "relu" to {run}/problem.json; for '
        "example: scalecurv analyze --measure gradient --engine serial --threads 1 --activation relu {run} {store}",
    ),
    "problem.json": (
        lambda run: (run / "problem.json").write_text("{"),
        "{run} {store}",
        "{run}/problem.json cannot be read as JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1)",
    ),
    "factory": (
        nothing,
        "{run} {store} " + FACTORY + "none",
        "--model tests.engine.models:none: module tests.engine.models has no none; name a factory that it defines",
    ),
    "store is a file": (
        nothing,
        "{run} {run}/data.npz",
        "{run}/data.npz is a file; give a directory for the store (it is made if it does not exist)",
    ),
    "store below a file": (
        nothing,
        "{run} {run}/data.npz/store",
        "{run}/data.npz/store cannot be made a store (Not a directory); give a directory that can be written",
    ),
    "gpu": (
        nothing,
        "{run} {store} --device cuda --dry-run",  # said before anything is planned
        "--device cuda but torch sees 0 GPU(s) on this machine; give --device cpu, or the --address of a cluster that "
        "has one",
    ),
    "measure": (
        nothing,
        "{run} {store} --measure tracee",
        "unknown measure 'tracee' (did you mean trace?); choose from gradient, extremes, moments, rescaling, "
        "curvature, rank, spectrum, principal, gauss_newton, sharpness, sgd, flatness, or give a quantity for the "
        "measure that has it, or pkg.mod:Class",
    ),
    "loss": (
        nothing,
        "{run} {store} --loss hinge",
        "unknown loss 'hinge'; choose from mse, cross_entropy, logistic, huber, smooth_l1, l1, poisson, nll, "
        "a loss of torch.nn such as CrossEntropyLoss, or pkg.mod:function",
    ),
    "reduction": (nothing, "{run} {store} --reduction none", "unknown reduction 'none'; choose from mean, sum"),
    "number": (nothing, "{run} {store} --rtol 0", "--rtol is 0.0; it must be positive and finite"),
    "budget": (
        nothing,
        "{run} {store} --max-matvecs 3",
        "max_matvecs=3 is too few to estimate anything; give at least 24",
    ),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_one_line_and_exits_with_2(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    change, arguments, message = MISUSE[name]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    change(run)
    places = {"run": run, "store": tmp_path / "store"}
    result = analyze(*arguments.format(**places).split())
    assert result.stderr == f"scalecurv: {message.format(**places)}\n"
    assert (result.exit_code, result.stdout) == (2, "")
    assert list((tmp_path / "store").rglob("*.h5")) == []


def test_a_relative_path_inside_a_job_is_misuse(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    result = analyze(run, "store")
    assert result.stderr == (
        "scalecurv: store is relative, and a job runs in a folder of Ray's own; give absolute paths\n"
    )
    assert result.exit_code == 2


FAILURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage": (
        lambda path: path.write_bytes(b"garbage" * 99),
        "{path} is no file that torch.save wrote, or it is damaged; save model.state_dict() with torch.save",
    ),
    "truncated": (
        write_truncated,
        "{path} is no readable checkpoint: BadZipFile: File is not a zip file; it may be cut short",
    ),
    "pickled code": (
        lambda path: write_malicious(path, path.with_name("code was run")),
        "{path} holds no named weights (its keys: model); save model.state_dict(), or if it is no checkpoint, ...",
    ),
    "not finite": (write_not_finite, "{path}: 0.weight holds 2 NaN(s); the run diverged before it"),
    "no tensors": (
        lambda path: torch.save({"step": 3}, path),
        "{path} holds no named weights (its keys: step); save model.state_dict(), or if it is no checkpoint, ...",
    ),
    "infinite loss": (
        lambda path: torch.save({k: v * 1e12 for k, v in torch.load(write_checkpoint(path))["model"].items()}, path),
        "{path}: the loss is inf at these weights, first seen in the loss at sample 0 (batch 0); there is no "
        "curvature to speak of",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_bad_checkpoint_is_one_line_and_exits_with_1(run: Path, tmp_path: Path, name: str) -> None:
    change, message = FAILURES[name]
    path = run / "step_0.pt"
    change(path)
    result = analyze(run, tmp_path / "store", "--loss", "mse")
    progress, line = untimed_lines(result.stderr)
    assert progress == f"1/1 failed {path}"
    before, _, after = f"failed: {message.format(path=path)}".partition("...")
    assert line == before + line[len(before) : len(line) - len(after)] + after
    assert "..." in message or line == before
    assert result.exit_code == 1
    assert not (run / "code was run").exists()
    assert invoke("show", tmp_path / "store").stdout.splitlines()[-1] == line


READING: dict[str, tuple[str, str]] = {
    "no store": ("show {none}", "{none} is no store; give the directory that `scalecurv analyze` wrote to"),
    "no column": (
        "query {store} select|tracee|from|results",
        'the query does not run: Binder Error: Referenced column "tracee" not found in FROM clause! '
        'Candidate bindings: "trace", "trace_lower", "trace_upper", "trace_stderr", "trace_h2"',
    ),
    "no rows": ("query {store} ;", "the query returns no rows; give a SELECT over results or estimates"),
    "nothing to draw": (
        "plot {store} a.png",
        "{store} holds no checkpoint with a step to draw over; see `scalecurv show {store}`",
    ),
}


@pytest.mark.parametrize("name", READING)
def test_reading_wrongly_is_one_line_and_exits_with_2(tmp_path: Path, name: str) -> None:
    arguments, message = READING[name]
    places = {"none": tmp_path / "none", "store": tmp_path / "store"}
    places["store"].mkdir()
    result = invoke(*(word.replace("|", " ") for word in arguments.format(**places).split()))
    assert result.stderr == f"scalecurv: {message.format(**places)}\n"
    assert (result.exit_code, result.stdout) == (2, "")
