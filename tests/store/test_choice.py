"""Which of several rows stands, in any order and any number of times: the rules against slow loops in plain Python."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.quantities import QUANTITIES
from scalecurv.results import tables as results_tables
from scalecurv.results.query import Store
from scalecurv.store.frames import concatenated, empty_tables, frame_of, plain
from scalecurv.store.reader import Contents
from scalecurv.store.schema import TABLES
from scalecurv.store.unique import UNIQUE, distinct_runs, without_moved

Row = dict[str, Any]
NAMES = ("trace", "rank", "chain_1", "lambda_max")
CHOICES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "estimates": {
        "key": st.sampled_from(["k1", "k2", "k3"]),
        "fingerprint": st.sampled_from("fg"),
        "task_id": st.sampled_from("tu"),
        "dtype": st.sampled_from(["float32", "float64"]),
        "seed": st.integers(0, 1),
        "quantity": st.sampled_from(NAMES),
        "component": st.sampled_from(["", "", "fc1"]),
        "status": st.sampled_from(["exact", "failed", "converged"]),
        "method": st.sampled_from(["by hand", "proven: holds", "proven: violated"]),
        "version": st.integers(1, 2),
        "num_matvecs": st.integers(0, 2),
        "rtol": st.sampled_from([0.01, 0.1]),
    },
    "checkpoints": {
        "path": st.sampled_from(["/a/1.pt", "/b/2.pt"]),
        "run": st.sampled_from(["/a", "/b"]),
        "fingerprint": st.sampled_from("fg"),
        "task_id": st.sampled_from("tu"),
        "dtype": st.sampled_from(["float32", "float64"]),
        "status": st.sampled_from(["ok", "partial", "failed"]),
        "seed": st.integers(0, 1),
        "step": st.integers(-1, 3),
        "num_params": st.integers(1, 9),
        "total_matvecs": st.integers(0, 9),
    },
    "arrays": {
        "key": st.sampled_from(["k1", "k2"]),
        "name": st.sampled_from("mn"),
        "seed": st.integers(0, 9),
        "rtol": st.just(0.1),
        "max_matvecs": st.integers(1, 2),
    },
    "tasks": {"task_id": st.sampled_from("tu")},
    "provenance": {"provenance_id": st.sampled_from("pq")},
    "files": {
        "path": st.sampled_from(["/a/1.pt", "/b/2.pt"]),
        "size": st.integers(1, 2),
        "mtime_ns": st.integers(1, 2),
        "inode": st.integers(1, 2),
        "fingerprint": st.sampled_from("fg"),
    },
    "runs": {"run": st.sampled_from(["/a", "/b"]), "attributes": st.sampled_from(["{}", '{"lr": 1}'])},
    "moves": {"path": st.sampled_from(["/a/1.pt", "/b/2.pt"]), "moved_to": st.sampled_from(["/c", "/d"])},
    "quantities": {"quantity": st.sampled_from(["mine", "other"]), "unit": st.sampled_from(["1", "loss"])},
}
SHARPNESS = ["rtol", "max_matvecs", "memory"]


def complete(name: str, drawn: Row, number: int) -> Row:
    """All columns of a table; `created` tells each row from every other, and so do the numbers that nobody drew."""
    blank = {"text": "", "int": 0, "float": float(number), "array": [float(number)]}
    return {column.name: drawn.get(column.name, blank[column.kind]) for column in TABLES[name]}


def tables(name: str, most: int = 12) -> st.SearchStrategy[list[Row]]:
    rows = st.lists(st.fixed_dictionaries(CHOICES[name]), max_size=most)
    return rows.map(lambda drawn: [complete(name, row, number) for number, row in enumerate(drawn)])


def frame(name: str, rows: Iterable[Row]) -> pd.DataFrame:
    rows = list(rows)
    return frame_of({c.name: [row[c.name] for row in rows] for c in TABLES[name]}, TABLES[name])


def rows_of(rows: pd.DataFrame) -> list[str]:
    return sorted(repr(row) for row in plain(rows).to_dict("records"))


def best(rows: list[Row], identity: list[str], rank: Callable[[Row], Any]) -> list[Row]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in identity), []).append(row)
    return [max(group, key=rank) for group in groups.values()]


def newest(row: Row) -> float:
    return float(row["created"])


def standing_checkpoints(rows: list[Row]) -> list[Row]:
    run = ["path", "fingerprint", "task_id", "seed", "dtype"]
    added = [
        {**row, "total_matvecs": sum(o["total_matvecs"] for o in rows if all(o[n] == row[n] for n in run))}
        for row in rows
    ]
    place = ["path", "task_id", "seed"]
    worked = {tuple(row[n] for n in place) for row in rows if row["status"] != "failed"}
    shown = [row for row in added if row["status"] != "failed" or tuple(row[n] for n in place) not in worked]
    return best(shown, [*place, "dtype"], newest)


ORACLES: dict[str, Callable[[list[Row]], list[Row]]] = {
    "checkpoints": standing_checkpoints,
    "estimates": lambda rows: best(
        rows, ["key", "quantity", "component", *SHARPNESS], lambda row: (row["status"] != "failed", row["created"])
    ),
    "arrays": lambda rows: best(rows, ["key", "name", *SHARPNESS], newest),
    "files": lambda rows: best(rows, ["path", "size", "mtime_ns", "inode"], newest),
    "runs": lambda rows: best(rows, ["run"], newest),
    "moves": lambda rows: best(rows, ["path"], newest),
}


def scattered(name: str, rows: list[Row], seed: int) -> pd.DataFrame:
    """The rows and some of them again, shuffled, from several files."""
    rng = random.Random(seed)
    dealt: list[list[Row]] = [[], [], []]
    for row in [*rows, *rng.sample(rows, len(rows) // 2)]:
        dealt[rng.randrange(3)].append(row)
    for hand in dealt:
        rng.shuffle(hand)
    return concatenated([frame(name, hand) for hand in dealt], name)


@pytest.mark.parametrize("name", ORACLES)
@settings(derandomize=True, deadline=None, max_examples=20, database=None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_what_stands_is_what_a_loop_finds(name: str, data: st.DataObject, seed: int) -> None:
    rows = data.draw(tables(name))
    shuffled = scattered(name, rows, seed)
    assert rows_of(UNIQUE[name](shuffled)) == rows_of(frame(name, ORACLES[name](rows)))
    if name == "checkpoints":
        assert rows_of(distinct_runs(shuffled)) == rows_of(frame(name, rows))


ONE_A_NAME = [("tasks", "task_id"), ("provenance", "provenance_id"), ("quantities", "quantity")]


@pytest.mark.parametrize(("name", "identity"), ONE_A_NAME)
@settings(derandomize=True, deadline=None, max_examples=5, database=None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_one_row_a_name_stands(name: str, identity: str, data: st.DataObject, seed: int) -> None:
    rows = data.draw(tables(name))
    found = UNIQUE[name](scattered(name, rows, seed))[identity].tolist()
    assert sorted(found) == sorted({row[identity] for row in rows})


@settings(derandomize=True, deadline=None, max_examples=20, database=None)
@given(tables("checkpoints"), tables("moves", 4), st.integers(-3, 12))
def test_what_was_renamed_is_hidden_until_something_new_has_its_name(
    checkpoints: list[Row], moves: list[Row], later: int
) -> None:
    dated = [{**move, "created": move["created"] + later} for move in moves]
    kept = [
        row
        for row in checkpoints
        if not any(move["path"] == row["path"] and move["created"] > row["created"] for move in dated)
    ]
    standing = UNIQUE["moves"](scattered("moves", dated, 0))
    assert rows_of(without_moved(frame("checkpoints", checkpoints), standing)) == rows_of(frame("checkpoints", kept))


IDENTITY = ["fingerprint", "task_id", "dtype", "seed"]


@settings(derandomize=True, deadline=None, max_examples=15, database=None)
@given(tables("estimates", 20), tables("checkpoints", 6), st.integers(0, 99))
def test_the_best_answers_are_what_a_loop_finds(estimates: list[Row], checkpoints: list[Row], seed: int) -> None:
    held = {**empty_tables()}
    held["estimates"] = UNIQUE["estimates"](scattered("estimates", estimates, seed))
    held["checkpoints"] = UNIQUE["checkpoints"](scattered("checkpoints", checkpoints, seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results_tables, "read_store", lambda path: Contents(held, {}))
        store = Store(Path("store"))
    standing = ORACLES["estimates"](estimates)
    chosen = best(standing, [*IDENTITY, "quantity", "component"], goodness)
    assert rows_of(store.chosen()) == rows_of(frame("estimates", chosen))
    results = store.results(all_columns=True)
    shown = standing_checkpoints(checkpoints)
    assert len(results) == len(shown)
    assert results["run"].tolist() == sorted(results["run"])
    for row in results.to_dict("records"):
        (checkpoint,) = (c for c in shown if all(c[n] == row[n] for n in IDENTITY) and c["path"] == row["checkpoint"])
        here = {c["quantity"]: c for c in chosen if all(c[n] == row[n] for n in IDENTITY) and c["component"] == ""}
        assert_row(row, checkpoint, here)


def goodness(row: Row) -> tuple[bool, int, bool, int, float]:
    return row["status"] != "failed", row["version"], row["status"] == "exact", row["num_matvecs"], row["created"]


def assert_row(row: Row, checkpoint: Row, here: dict[str, Row]) -> None:
    failed = any(found["status"] == "failed" for found in here.values())
    mixed = failed and checkpoint["status"] != "failed"
    assert row["status"] == ("partial" if mixed else checkpoint["status"])
    assert pd.isna(row["step"]) if checkpoint["step"] == -1 else row["step"] == checkpoint["step"]
    assert row["total_matvecs"] == checkpoint["total_matvecs"]
    for quantity in QUANTITIES:
        found = here.get(quantity.name)
        for suffix, part in {"": "value", "_stderr": "stderr", "_lower": "lower", "_upper": "upper"}.items():
            cell = row[quantity.name + suffix]
            known = None if found is None or found["status"] == "failed" else found
            assert pd.isna(cell) if known is None else cell == known[part]
    link = here.get("chain_1")
    verdict = None if link is None or link["status"] == "failed" else link["method"].rpartition(": ")[2]
    expected = "not_applicable" if verdict == "by hand" else verdict
    assert pd.isna(row["chain_status"]) if expected is None else row["chain_status"] == expected
