"""A merge keeps every row and takes every part, leaves what is broken alone, and only one runs at a time."""

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Any

import h5py
import pytest

from scalecurv.errors import Misuse, StoreError
from scalecurv.store import compact as module
from scalecurv.store.compact import Merge, compact, compact_if_many
from scalecurv.store.decode import BrokenFile, decode
from scalecurv.store.frames import Tables
from scalecurv.store.inspection import problems_of
from scalecurv.store.meanings import meaning_of
from scalecurv.store.reader import FORMER, INDEX, parts_of, read_store
from scalecurv.store.schema import TABLES
from scalecurv.store.writer import PARTS, write_part
from tests.outcomes import store_of
from tests.store.forging import listing
from tests.store.merging import LATE, PATH, rows

pytestmark = pytest.mark.usefixtures("decoded_once")


def test_every_row_stays_and_every_part_goes(store: Path) -> None:
    before, index = rows(store), (store / INDEX).read_bytes()
    assert compact(store) == Merge(2, 2, {})
    assert rows(store) == before
    merged = listing(store)
    assert merged.keys() == {INDEX, FORMER}
    assert merged[FORMER] == index
    assert problems_of(store / INDEX) == problems_of(store / FORMER) == []
    products = read_store(store).tables["checkpoints"].set_index("path")["total_matvecs"]
    assert products.to_dict() == {PATH: 42, "/runs/step_2.pt": 0}
    assert sorted(decode(store / INDEX)["checkpoints"]["total_matvecs"]) == [0, 12, 30]  # each run for itself
    assert compact(store) == Merge(0, 2, {})
    assert listing(store) == merged  # nothing to do, nothing written


def test_the_index_says_what_its_columns_mean_and_parts_are_small(store: Path) -> None:
    part = parts_of(store)[0]
    with h5py.File(part, "r") as file:
        assert not any("long_name" in file[name][c.name].attrs for name, columns in TABLES.items() for c in columns)
    compact(store)
    with h5py.File(store / INDEX, "r") as file:
        for name, columns in TABLES.items():
            for column in columns:
                assert file[name][column.name].attrs["long_name"] == meaning_of(name, column.name)


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Misuse, match="holds files but no store"):
        compact(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_broken_index_is_set_aside_for_the_one_before(store: Path) -> None:
    compact(store)
    former = (store / FORMER).read_bytes()
    (store / INDEX).write_bytes(b"broken")
    assert read_store(store).stored.keys() == {"k1"}
    merged = compact(store)
    assert merged == Merge(0, 1, {store / INDEX: f"{store / INDEX} is no scalecurv file, or it was cut short"})
    assert (store / f"{INDEX}.broken").read_bytes() == b"broken"
    assert (store / FORMER).read_bytes() == former  # what saved us is not written over
    assert read_store(store).stored.keys() == {"k1"}
    assert read_store(store).broken == {}


def test_both_indexes_broken(store: Path) -> None:
    for name in (INDEX, FORMER):
        (store / name).write_bytes(b"broken")
    merged = compact(store)
    assert merged is not None
    assert (merged.parts, set(merged.broken)) == (2, {store / INDEX, store / FORMER})
    assert listing(store).keys() == {INDEX, f"{INDEX}.broken", f"{FORMER}.broken"}
    assert read_store(store).stored.keys() == {"k2"}


def test_broken_parts_stay_where_they_are_and_are_told(store: Path) -> None:
    victim, whole = parts_of(store)
    victim.write_bytes(victim.read_bytes()[:-1])
    reason = f"{victim} is no scalecurv file, or it was cut short"
    assert compact(store) == Merge(1, 1, {victim: reason})
    assert (victim.exists(), whole.exists()) == (True, False)
    before = listing(store)
    assert compact(store) == Merge(0, 1, {victim: reason})
    assert listing(store) == before


def test_a_part_whose_rows_cannot_be_read_stops_the_merge(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise BrokenFile("no table")

    before = listing(store)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_merged", broken)
        with pytest.raises(BrokenFile, match=r"^no table$"):
            compact(store)
    assert listing(store) == before


def test_one_at_a_time(store: Path) -> None:
    """The lock is the system's, on the open file: another process, or another open file of this one."""
    files = listing(store)
    with open(store / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert compact(store) is None
        assert listing(store) == files
    assert compact(store) == Merge(2, 2, {})  # it went with whoever held it


def test_the_lock_is_held_while_it_matters(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def second(tables: Tables, described: bool) -> bytes:
        held.append(compact(store))
        return encode(tables, described)

    encode = module.encode
    monkeypatch.setattr(module, "encode", second)
    assert compact(store) == Merge(2, 2, {})
    assert held == [None]


def test_what_is_written_meanwhile_is_not_lost(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a part that somebody else removed stop the merge."""

    def slow(tables: Tables, described: bool) -> bytes:
        parts_of(store)[0].unlink()
        late.append(write_part(store, LATE))
        return encode(tables, described)

    late: list[Path] = []
    encode = module.encode
    monkeypatch.setattr(module, "encode", slow)
    assert compact(store) == Merge(2, 2, {})
    assert parts_of(store) == late
    assert read_store(store).stored.keys() == {"k1", "k2", "k3"}


def test_what_killed_writers_left_goes_after_an_hour(store: Path) -> None:
    now = time.time()
    ages = {".a.h5.0.tmp": 3700, ".b.h5.0.tmp": 3500, "c.h5.tmp": 3700, ".d.h5": 3700, "e.broken": 3700}
    for folder in (store, store / PARTS):
        for name, age in ages.items():
            (folder / name).write_bytes(b"half")
            os.utime(folder / name, (now - age, now - age))
    compact(store)
    for folder in (store, store / PARTS):
        assert {name for name in ages if (folder / name).exists()} == ages.keys() - {".a.h5.0.tmp"}


@pytest.mark.parametrize(
    ("parts", "over", "merged"),
    [(64, None, False), (65, None, True), (65, 0, True), (65, 1, False), (64, 0, False)],
)
def test_only_many_parts_are_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int, over: int | None, merged: bool
) -> None:
    """More than 64, of at least 1/16 of the index together: `over` is what the index has above 16 times the parts."""
    store, size = store_of(tmp_path / "store"), 100
    for i in range(parts):
        (store / PARTS / f"{i}.h5").write_bytes(bytes(size))
    if over is not None:
        (store / INDEX).write_bytes(bytes(16 * size * parts + over))
    done = Merge(1, 2, {})
    monkeypatch.setattr(module, "compact", lambda folder: done if folder == store else None)
    assert compact_if_many(store) == (done if merged else None)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EACCES])
def test_a_sweep_goes_on_where_nothing_can_be_locked(store: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    monkeypatch.setattr(module, "MANY", 0)
    before = listing(store)
    assert compact_if_many(store) is None
    assert {name: content for name, content in listing(store).items() if name != ".lock"} == before
    with pytest.raises(StoreError) as caught:
        compact(store)
    message = f"{store} cannot be merged ({os.strerror(number)}); nothing is lost: its parts stay"
    assert str(caught.value) == message
