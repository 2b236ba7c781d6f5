"""One directory with the same weights in every form that can be read: the same fingerprint and the same numbers."""

import json
from pathlib import Path

import pandas as pd
import pytest

from scalecurv.results.query import open_store
from tests.checkpoints.formats import READABLE, REFUSED
from tests.checkpoints.test_format_table import STATE
from tests.commands import analyze
from tests.runs import write_data

MEASURES = ("--measure", "gradient,extremes,moments,curvature,rank")
FIRST = 11  # step of the first of them


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats") / "run"
    folder.mkdir()
    write_data(folder / "data.npz")
    spec = {"data": "data.npz", "loss": "cross_entropy", "activation": "relu"}
    (folder / "problem.json").write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="module")
def paths(run: Path) -> dict[str, Path]:
    """A folder for each, as runs of their own: some have the same names."""
    found = {}
    for step, (name, writer) in enumerate(READABLE.items(), FIRST):
        (run / str(step)).mkdir()
        found[name] = writer(run / str(step), STATE, step)
    return found


def numbers(store: Path) -> pd.DataFrame:
    rows = open_store(store).sql("select * from estimates order by quantity, component")
    return rows.drop(columns=["seconds", "created", "provenance_id"])


def test_one_command_reads_them_all(run: Path, paths: dict[str, Path], tmp_path: Path) -> None:
    result = analyze(run, tmp_path / "store")
    assert result.exit_code == 0, result.output
    rows = open_store(tmp_path / "store").results()
    assert sorted(rows["checkpoint"]) == sorted(map(str, paths.values()))
    assert sorted(rows["step"]) == list(range(FIRST, FIRST + len(READABLE)))
    assert set(rows["status"]) == {"ok"}
    assert rows["fingerprint"].nunique() == 1
    apart = ["checkpoint", "run", "step", "epoch", "total_matvecs"]
    assert len(rows.drop(columns=apart).drop_duplicates()) == 1


def test_each_by_itself_has_the_same_numbers(run: Path, paths: dict[str, Path], tmp_path: Path) -> None:
    """In stores of their own, so that none stands for another."""
    wanted = None
    for step, (name, path) in enumerate(paths.items(), FIRST):
        store = tmp_path / str(step)
        result = analyze(path, store, "--data", run / "data.npz", "--loss", "cross_entropy", "--activation", "relu",
                         *MEASURES)  # fmt: skip
        assert result.exit_code == 0, (name, result.output)
        found = numbers(store)
        assert len(found) > 40
        wanted = found if wanted is None else wanted
        pd.testing.assert_frame_equal(found, wanted, check_exact=True, obj=name)


def test_what_cannot_be_read_is_a_row_that_says_why(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for name, (writer, _) in REFUSED.items():
        (folder / name).mkdir(parents=True)
        writer(folder / name, STATE, 3)
    READABLE["safetensors"](folder, STATE, 1)
    arguments = ("--data", run / "data.npz", "--loss", "cross_entropy", "--activation", "relu")
    result = analyze(folder, tmp_path / "store", *arguments)
    assert result.exit_code == 1
    rows = open_store(tmp_path / "store").results()
    assert sorted(rows["status"]) == sorted(["ok", *["failed"] * len(REFUSED)])
    for name, (_, advice) in REFUSED.items():
        (error,) = rows.loc[rows["checkpoint"].str.contains(f"/{name}/"), "error"]
        assert advice in error
