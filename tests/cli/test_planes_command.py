"""`scalecurv planes`: a table, its two other forms, and what is said on stderr."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from scalecurv.planes import COLUMNS
from tests.commands import invoke
from tests.runs import write_data, write_truncated
from tests.test_planes import planes, walk, write_walk


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walk(tmp_path_factory.mktemp("planes") / "run", walk())


def test_a_table(run: Path) -> None:
    result = invoke("planes", run)
    assert (result.exit_code, result.stderr) == (0, "")
    header, *lines = (line.split() for line in result.stdout.splitlines())
    assert header == list(COLUMNS)
    wanted, _ = planes(run)
    assert [line[:4] for line in lines] == [[str(run), str(i), str(i + 10), str(i + 20)] for i in (0, 10, 20)]
    assert [line[4] for line in lines] == [f"{value:.6g}" for value in wanted["sectional_curvature"]]


def test_csv_and_json_keep_every_digit(run: Path) -> None:
    wanted, _ = planes(run)
    read = pd.read_csv(io.StringIO(invoke("planes", run, "--format", "csv").stdout))
    pd.testing.assert_frame_equal(read, wanted, rtol=1e-15)
    assert json.loads(invoke("planes", run, "--format", "json").stdout) == wanted.to_dict("records")


def test_no_plane_is_null(tmp_path: Path) -> None:
    start, end = walk(2)
    folder = write_walk(tmp_path / "run", [start, end, end])
    (row,) = json.loads(invoke("planes", folder, "--format", "json").stdout)
    assert (row["sectional_curvature"], row["cosine"], row["length_out"]) == (None, None, 0)
    assert row["length_in"] > 0
    line = invoke("planes", folder, "--format", "csv").stdout.splitlines()[1]
    assert line.startswith(f"{folder},0,10,20,,,")


def test_three_files_by_name_with_options(run: Path, tmp_path: Path) -> None:
    """In any order, without a problem.json; the loss and the activation are heard."""
    write_data(tmp_path / "data.npz")
    for i, weights in enumerate(walk(3)):
        torch.save({"model": weights, "step": i}, tmp_path / f"{i}.pt")
    files = [tmp_path / f"{i}.pt" for i in (2, 0, 1)]
    found = {}
    for loss, activation in (("cross_entropy", "relu"), ("mse", "relu"), ("cross_entropy", "tanh")):
        options = ("--data", tmp_path / "data.npz", "--loss", loss, "--activation", activation, "--format", "json")
        result = invoke("planes", *files, *options)
        assert (result.exit_code, result.stderr) == (0, "")
        ((found[loss, activation],)) = json.loads(result.stdout)
    first = found["cross_entropy", "relu"]
    assert (first["before"], first["step"], first["after"]) == (0, 1, 2)
    assert first["sectional_curvature"] == planes(run)[0]["sectional_curvature"][0]
    assert len({row["sectional_curvature"] for row in found.values()}) == 3


def test_what_cannot_be_read_is_said_after_the_rest(tmp_path: Path) -> None:
    folder = write_walk(tmp_path / "run", walk())
    write_truncated(folder / "step_4.pt")
    result = invoke("planes", folder, "--format", "csv")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1 + 1  # named 4, it lies between 0 and 10: a gap
    assert result.stderr.startswith(f"failed: {folder}/step_4.pt is no readable checkpoint")
    assert result.stderr.count("\n") == 1


MISUSE = [
    ("{two}", (), "a plane takes three checkpoints of one run; give more of them"),
    ("{two}/nope", (), "{two}/nope does not exist; give a directory of checkpoints, or checkpoint files"),
    (
        "{run}",
        ("--loss", "hinge"),
        "unknown loss 'hinge'; choose from mse, cross_entropy, logistic, huber, smooth_l1, l1, poisson, nll, "
        "a loss of torch.nn such as CrossEntropyLoss, or pkg.mod:function",
    ),
]


@pytest.mark.parametrize(("path", "options", "message"), MISUSE)
def test_misuse_is_one_line(run: Path, tmp_path: Path, path: str, options: tuple, message: str) -> None:
    names = {"run": run, "two": write_walk(tmp_path / "two", walk(2))}
    result = invoke("planes", path.format(**names), *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"scalecurv: {message.format(**names)}\n"


def test_no_memory_is_misuse(run: Path) -> None:
    result = invoke("planes", run, "--memory", 0)
    assert (result.exit_code, result.stderr) == (2, "scalecurv: --memory is 0; it must be at least 1\n")


def test_nothing_is_written(run: Path) -> None:
    before = sorted(run.parent.rglob("*"))
    assert invoke("planes", run).exit_code == 0
    assert sorted(run.parent.rglob("*")) == before
