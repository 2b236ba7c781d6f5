"""Any history of runs, merged or not, reads back as a dictionary would hold it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.record import Outcome
from scalecurv.store.compact import compact
from scalecurv.store.reader import parts_of, read_store
from scalecurv.store.writer import write_part
from tests.outcomes import FAILED, failure, outcome, record, sampled, store_of


def sketch(created: int, number: float, fields: tuple[str, str, str, int], keys: list[tuple[str, bool]]) -> Outcome:
    """An outcome with one trace per (key, whether it failed); without keys, a file that could not be read."""
    path, fingerprint, task_id, seed = fields
    if not keys:
        return failure(path, created=float(created), task_id=task_id, seed=seed)
    status = "partial" if any(broke for _, broke in keys) else "ok"
    found = [record(key, {("trace", ""): FAILED if broke else sampled(number, 1)}) for key, broke in keys]
    given = {"fingerprint": fingerprint, "task_id": task_id, "seed": seed, "total_matvecs": created + 1}
    return outcome(path, *found, status=status, created=float(created), **given)


@st.composite
def histories(draw: st.DrawFn) -> list[Outcome]:
    """Runs in any order of their times, at few enough paths and keys that they often meet."""
    times = draw(st.permutations(range(draw(st.integers(0, 5)))))
    fields = st.tuples(st.sampled_from("ab"), st.sampled_from("fg"), st.sampled_from(["t1", "t2"]), st.integers(0, 1))
    keys = st.lists(st.tuples(st.sampled_from("klm"), st.booleans()), max_size=2, unique_by=lambda pair: pair[0])
    return [sketch(created, draw(st.floats(-5, 5)), draw(fields), draw(keys)) for created in times]


def identity(run: Outcome) -> tuple[str, str, str, int]:
    return run.path, run.fingerprint, run.task_id, run.seed


def model(history: list[Outcome]) -> tuple[dict[str, float | None], dict[Any, tuple[str, float, int]]]:
    """The store that such a history makes: value by key (None: failed), and checkpoints by (path, task, seed)."""
    runs = sorted(history, key=lambda run: run.created)
    values: dict[str, float | None] = {}
    checkpoints = {}
    for run in runs:
        for found in run.records:
            values[found.key] = values.get(found.key) if found.failed else found.estimates["trace", ""].value
    for run in sorted(runs, key=lambda run: run.status != "failed"):  # what worked overwrites what did not
        products = sum(other.total_matvecs for other in runs if identity(other) == identity(run))
        checkpoints[run.path, run.task_id, run.seed] = (run.status, run.created, products)
    return values, checkpoints


@pytest.fixture(scope="module", name="fresh")
def _fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("history")


@settings(derandomize=True, deadline=None, max_examples=6, database=None)
@given(histories(), st.lists(st.sampled_from(["merge", "crash", ""]), min_size=5, max_size=5))
def test_any_history(fresh: Callable[[], Path], history: list[Outcome], events: list[str]) -> None:
    """Merged after any run, or killed between the new index and the removal of what went into it."""
    store = store_of(fresh())
    for run, event in zip(history, events, strict=False):
        write_part(store, run)
        parts = {path: path.read_bytes() for path in parts_of(store)} if event == "crash" else {}
        if event:
            compact(store)
        for path, content in list(parts.items())[::2]:
            path.write_bytes(content)
    values, checkpoints = model(history)
    contents = read_store(store)
    estimates, found = contents.tables["estimates"], contents.tables["checkpoints"]
    by_key = {e.key: None if e.status == "failed" else e.value for e in estimates.itertuples()}
    assert len(by_key) == len(estimates)
    assert by_key == values
    assert contents.stored.keys() == {key for key, value in values.items() if value is not None}
    by_path = {(c.path, c.task_id, c.seed): (c.status, c.created, c.total_matvecs) for c in found.itertuples()}
    assert len(by_path) == len(found)
    assert by_path == checkpoints
