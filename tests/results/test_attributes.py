"""Attributes of runs as columns: numbers stay numbers, no name hides another, and every row has those of its run."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.quantities import Quantity
from scalecurv.results.query import Store, open_store
from scalecurv.store.inspection import problems_of
from scalecurv.store.labels import LabelChanges, run_row, write_labels
from tests.outcomes import exactly, outcome, record, store_of

RUNS: dict[str, dict[str, Any]] = {
    "/runs/a": {"lr": 0.1, "width": 64, "warm": True, "opt": "adam", "seed": 3, "mixed": 1, "big": 2**70, "none": None},
    "/runs/b": {"LR": 1, "width": 2**62, "warm": False, "opt": "sgd", "seed": 4, "mixed": "x", "trace": 7, "value": 2},
    "/runs/c": {},
    "/runs/gone": {"nobody": 1},
}
MINE = (Quantity("mine", "a number of my own", integer=True), "pkg.mod:Mine")


def opened(folder: Path, runs: dict[str, dict[str, Any]] = RUNS, **fields: Any) -> Store:
    """A checkpoint of each run, the last in the table of runs excepted, and one of a run without attributes."""
    names = [*list(runs)[:-1], "/runs/d"]
    outcomes = [outcome(f"{run}/step_1.pt", record(f"k{run}", exactly(loss=1.0, mine=2)), **fields) for run in names]
    store_of(folder, *outcomes)
    write_labels(folder, LabelChanges(runs=tuple(run_row(run, found, 1.0) for run, found in runs.items())))
    return open_store(folder)


def cells(frame: pd.DataFrame, name: str) -> list[Any]:
    return [None if pd.isna(cell) else cell for cell in frame[name]]


def test_every_attribute_is_a_column_of_its_kind_after_the_step(tmp_path: Path) -> None:
    store = opened(tmp_path)
    wanted: dict[str, tuple[str, list[Any]]] = {
        "lr": ("DOUBLE", [0.1, 1.0, None, None]),
        "width": ("BIGINT", [64, 2**62, None, None]),
        "warm": ("BOOLEAN", [True, False, None, None]),
        "opt": ("VARCHAR", ["adam", "sgd", None, None]),
        "run_seed": ("BIGINT", [3, 4, None, None]),
        "mixed": ("VARCHAR", ["1", "x", None, None]),
        "big": ("DOUBLE", [2.0**70, None, None, None]),
        "run_trace": ("BIGINT", [None, 7, None, None]),
        "run_value": ("BIGINT", [None, 2, None, None]),
    }
    for table in ("results", "long"):
        columns = list(store.table(table))
        assert columns[columns.index("step") + 1 :][: len(wanted)] == list(wanted)
        types = dict(store.sql(f"describe {table}")[["column_name", "column_type"]].values.tolist())
        rows = store.table(table)
        rows = rows if table == "results" else rows[rows["quantity"] == "loss"]
        assert {name: (types[name], cells(rows, name)) for name in wanted} == wanted
    assert store.sql("select run_seed, loss from results where lr < 1").values.tolist() == [[3, 1.0]]


def test_a_name_that_is_taken_twice_is_prefixed_twice(tmp_path: Path) -> None:
    """Also one that a quantity of one's own has taken, whatever the case."""
    store = opened(
        tmp_path, {"/a": {"run": 1, "Seed": 2, "run_seed": 3, "MINE_lower": 4}, "/b": {}}, quantities=(MINE,)
    )
    row = store.results().iloc[0]
    found = {
        name: row[name] for name in ("run_run", "run_Seed", "run_run_seed", "run_MINE_lower", "seed", "mine_lower")
    }
    assert found == {"run_run": 1, "run_Seed": 2, "run_run_seed": 3, "run_MINE_lower": 4, "seed": 0, "mine_lower": 2}


def test_new_attributes_replace_the_old_ones(tmp_path: Path) -> None:
    opened(tmp_path)
    write_labels(tmp_path, LabelChanges(runs=(run_row("/runs/a", {"lr": 0.2}, 2.0),)))
    results = open_store(tmp_path).results()
    assert (results["lr"].tolist()[0], cells(results, "width")[0]) == (0.2, None)


def test_attributes_that_are_none_are_told(tmp_path: Path) -> None:
    """Another program wrote them: verify names the file, and readers the run."""
    for text in ("{", "[1]"):
        folder = store_of(tmp_path / text, outcome("/a/1.pt", record("k", exactly(loss=1.0))))
        part = write_labels(folder, LabelChanges(runs=({"run": "/a", "attributes": text, "created": 1.0},)))
        assert problems_of(part) == [f"{part} has attributes of 1 run(s) that are no JSON object, such as /a"]
        with pytest.raises(Misuse) as caught:
            open_store(folder).results()
        advice = "`scalecurv verify STORE` names the file"
        assert str(caught.value) == f"the attributes of run /a are no JSON object; {advice}"


def test_a_store_without_attributes_has_no_column_for_them(tmp_path: Path) -> None:
    store = open_store(store_of(tmp_path, outcome("/a.pt", record("k", exactly(loss=1.0)))))
    assert list(store.results())[:4] == ["checkpoint", "run", "step", "epoch"]
    assert list(store.table("long"))[:4] == ["checkpoint", "run", "step", "quantity"]
