"""All that a store holds, each thing once: ok wins, then the newest, and a broken file costs only itself."""

import errno
import os
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from scalecurv.errors import Misuse, StoreError
from scalecurv.record import FileStamp, Outcome
from scalecurv.store import reader
from scalecurv.store.compact import compact
from scalecurv.store.decode import BrokenFile
from scalecurv.store.frames import Tables, empty_tables
from scalecurv.store.reader import INDEX, read_store, set_aside
from scalecurv.store.writer import PARTS, write_part
from tests.outcomes import FAILED, TASK, cells, exactly, failure, outcome, record, store_of

PATH = "/runs/step_1.pt"
OLD = outcome(PATH, record("k1", exactly(trace=1.0), ritz=[1]), created=100.0)
NEW = outcome(PATH, record("k1", exactly(trace=2.0), ritz=[2]), created=200.0, error=" ")  # a part of its own
A, B = (outcome(f"/runs/step_{i}.pt", record(f"k{i}", exactly(trace=1.0)), created=float(i)) for i in (1, 2))
BROKE = outcome(PATH, record("k1", {("trace", ""): FAILED}), status="partial", created=300.0)


def rows(store: Path, table: str, *columns: str) -> list[Any]:
    frame = read_store(store).tables[table]
    return frame[columns[0]].tolist() if len(columns) == 1 else [tuple(row) for row in frame[list(columns)].values]


def test_no_store_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        read_store(tmp_path / "missing")
    advice = "give the directory that `scalecurv analyze` wrote to"
    assert str(caught.value) == f"{tmp_path / 'missing'} is no store; {advice}"
    (tmp_path / "empty").mkdir()
    contents = read_store(tmp_path / "empty")
    assert cells(contents.tables) == cells(empty_tables())
    assert (contents.broken, contents.stored) == ({}, {})


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Misuse) as caught:
        read_store(tmp_path)
    message = f"{tmp_path} holds files but no store; give the store's own directory, or a new one"
    assert str(caught.value) == message
    write_part(store_of(tmp_path), OLD)
    assert read_store(tmp_path).stored.keys() == {"k1"}


def test_parts_and_index_are_one_store(tmp_path: Path) -> None:
    store = store_of(tmp_path, OLD)
    alone = cells(read_store(store).tables)
    compact(store)
    assert cells(read_store(store).tables) == alone
    write_part(store, OLD)
    assert cells(read_store(store).tables) == alone  # in both, once


@pytest.mark.parametrize("order", list(permutations([OLD, NEW, BROKE]))[1::2])
def test_ok_wins_then_the_newest_whatever_the_order(tmp_path: Path, order: tuple[Outcome, ...]) -> None:
    store = store_of(tmp_path, *order)
    assert rows(store, "estimates", "value", "status") == [(2.0, "exact")]
    assert [values.tolist() for values in rows(store, "arrays", "values")] == [[2.0]]
    assert rows(store, "checkpoints", "status", "created") == [("partial", 300.0)]  # the newest run that found anything
    assert read_store(store).stored.keys() == {"k1"}


def test_a_key_with_a_failed_estimate_is_work(tmp_path: Path) -> None:
    half = outcome(PATH, record("k1", {**exactly(trace=1.0), ("trace_h2", ""): FAILED}), status="partial")
    store = store_of(tmp_path, half, outcome(PATH, record("k2", {}, ritz=[1]), record("k3", exactly(loss=1))))
    assert read_store(store).stored.keys() == {"k2", "k3"}
    write_part(store, outcome(PATH, record("k1", exactly(trace=1.0, trace_h2=2.0)), created=200.0))
    assert read_store(store).stored.keys() == {"k1", "k2", "k3"}


@pytest.mark.parametrize("first", ["ok", "failed"])
def test_a_failure_shows_only_where_nothing_worked(tmp_path: Path, first: str) -> None:
    broke = failure(PATH, created=500.0 if first == "ok" else 50.0)
    store = store_of(
        tmp_path, broke, failure("/runs/step_2.pt", "older", created=1.0), failure("/runs/step_2.pt", "newer")
    )
    assert sorted(rows(store, "checkpoints", "error")) == [f"{PATH} is no readable checkpoint", "newer"]
    write_part(store, OLD)
    assert sorted(rows(store, "checkpoints", "path", "status")) == [(PATH, "ok"), ("/runs/step_2.pt", "failed")]
    other = replace(broke, task_id="t2")
    write_part(store, other)  # another task has not worked here
    assert sorted(rows(store, "checkpoints", "task_id", "status")) == [("t1", "failed"), ("t1", "ok"), ("t2", "failed")]


def test_products_add_up_over_the_runs_that_took_them(tmp_path: Path) -> None:
    runs = [
        outcome(PATH, record("k1", exactly(trace=1.0)), total_matvecs=30, created=100.0),
        outcome(PATH, record("k2", exactly(rank=1)), total_matvecs=12, created=200.0),
        outcome(PATH, record("k3", exactly(rank=1)), total_matvecs=5, created=300.0, seed=1),
        outcome(PATH, record("k4", exactly(rank=1)), total_matvecs=7, created=400.0, fingerprint="other"),
    ]
    store = store_of(tmp_path, *runs[:3])
    assert sorted(rows(store, "checkpoints", "seed", "total_matvecs")) == [(0, 42), (1, 5)]
    compact(store)
    for run in runs:  # each of the first three is in the index, twice, and in a part
        write_part(store, run)
    assert sorted(rows(store, "checkpoints", "seed", "total_matvecs")) == [(0, 7), (1, 5)]  # new content: a new count


def test_one_content_at_two_paths(tmp_path: Path) -> None:
    shared = {"fingerprint": "f", "records": (record("k1", exactly(trace=1.0)),)}
    store = store_of(tmp_path, outcome("/runs/last.pt", **shared), outcome("/runs/step_9.pt", **shared))
    assert sorted(rows(store, "checkpoints", "path", "fingerprint")) == [
        ("/runs/last.pt", "f"),
        ("/runs/step_9.pt", "f"),
    ]
    assert rows(store, "estimates", "key") == ["k1"]
    assert sorted(rows(store, "files", "path")) == ["/runs/last.pt", "/runs/step_9.pt"]


def test_new_content_at_an_old_path(tmp_path: Path) -> None:
    before = outcome(PATH, record("k1", exactly(trace=1.0)), fingerprint="f1")
    after = outcome(
        PATH, record("k2", exactly(trace=2.0)), fingerprint="f2", stamp=FileStamp(PATH, 1000, 6, 7), created=200.0
    )
    store = store_of(tmp_path, before, after)
    assert rows(store, "checkpoints", "fingerprint") == ["f2"]
    assert sorted(rows(store, "estimates", "fingerprint")) == ["f1", "f2"]  # should the old file come back
    assert sorted(rows(store, "files", "mtime_ns", "fingerprint")) == [(5, "f1"), (6, "f2")]


def test_tasks_and_provenance_once(tmp_path: Path) -> None:
    two = outcome("/runs/step_2.pt", task_id="t2", task={**TASK, "loss": "cross_entropy"}, provenance={"host": "there"})
    store = store_of(tmp_path, OLD, NEW, two)
    assert sorted(rows(store, "tasks", "task_id", "loss")) == [("t1", "mse"), ("t2", "cross_entropy")]
    assert sorted(rows(store, "provenance", "host")) == ["here", "there"]


def test_a_broken_file_costs_only_itself(tmp_path: Path) -> None:
    store = store_of(tmp_path, OLD, outcome("/runs/step_2.pt", record("k2", exactly(trace=3.0))))
    victim = write_part(store, outcome("/runs/step_3.pt", record("k3", exactly(trace=4.0))))
    victim.write_bytes(victim.read_bytes()[:-1])
    (store / INDEX).write_bytes(b"")
    contents = read_store(store)
    reason = "is no scalecurv file, or it was cut short"
    assert contents.broken == {path: f"{path} {reason}" for path in (victim, store / INDEX)}
    assert contents.stored.keys() == {"k1", "k2"}
    for path in contents.broken:
        assert set_aside(path) == path.with_name(f"{path.name}.broken")
    again = read_store(store)
    assert (again.broken, again.stored.keys()) == ({}, {"k1", "k2"})
    assert victim.with_name(f"{victim.name}.broken").exists()


def test_nothing_set_aside_is_ever_overwritten(tmp_path: Path) -> None:
    names = []
    for content in (b"0", b"1", b"2"):
        (tmp_path / "x.h5").write_bytes(content)
        names.append(set_aside(tmp_path / "x.h5"))
    assert [path.name for path in names] == ["x.h5.broken", "x.h5.1.broken", "x.h5.2.broken"]
    assert [path.read_bytes() for path in names] == [b"0", b"1", b"2"]
    for i in range(3, 1000):
        (tmp_path / f"x.h5.{i}.broken").touch()
    (tmp_path / "x.h5").touch()
    with pytest.raises(Misuse) as caught:
        set_aside(tmp_path / "x.h5")
    message = f"{tmp_path} holds a thousand broken files of one name; look at the disk under it"
    assert str(caught.value) == message


def test_parts_that_are_merged_while_we_read_are_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed, then merged into the index and gone before they are opened."""
    store = store_of(tmp_path, OLD, outcome("/runs/step_2.pt", record("k2", exactly(trace=3.0))))
    before = cells(read_store(store).tables)
    decode = reader.decode

    def after_a_merge(path: Path) -> Tables:
        monkeypatch.setattr(reader, "decode", decode)
        if path.parent.name == PARTS:
            compact(store)
        else:
            monkeypatch.setattr(reader, "decode", after_a_merge)
        return decode(path)

    monkeypatch.setattr(reader, "decode", after_a_merge)
    contents = read_store(store)
    assert not list((store / PARTS).glob("*.h5"))
    assert contents.broken == {}
    assert cells(contents.tables) == before


def test_half_written_files_are_not_seen(tmp_path: Path) -> None:
    store = store_of(tmp_path, OLD)
    (store / PARTS / f".x.h5.{os.getpid()}.tmp").write_bytes(b"half")
    (store / PARTS / "x.h5.broken").write_bytes(b"half")
    contents = read_store(store)
    assert (contents.broken, contents.stored.keys()) == ({}, {"k1"})


def test_a_whole_file_is_never_set_aside(tmp_path: Path) -> None:
    """Another sweep has set the broken one aside, and put a whole one in its place."""
    store = store_of(tmp_path, A, B)
    compact(store)
    content = (store / INDEX).read_bytes()
    assert set_aside(store / INDEX) == store / INDEX
    assert (store / INDEX).read_bytes() == content
    assert set_aside(store / "gone.h5") == store / "gone.h5"
    assert not list(store.glob("*.broken"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE])
def test_what_cannot_be_read_now_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = store_of(tmp_path, A)
    compact(store)
    read_bytes = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == INDEX:
            raise OSError(number, os.strerror(number))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    if number == errno.ESTALE:  # NFS: replaced while it was opened
        assert read_store(store).broken == {}
        return
    with pytest.raises(StoreError) as caught:
        read_store(store)
    assert not isinstance(caught.value, BrokenFile)
    assert str(caught.value) == f"{store / INDEX} cannot be read ({os.strerror(number)})"


def test_an_index_that_is_gone_is_told(tmp_path: Path) -> None:
    store = store_of(tmp_path, A)
    compact(store)
    write_part(store, B)
    compact(store)
    (store / INDEX).unlink()
    contents = read_store(store)
    message = f"{store / INDEX} is gone; store.previous.h5 is read in its place, without the last merge"
    assert contents.broken == {store / INDEX: message}
    assert contents.stored.keys() == {"k1"}
