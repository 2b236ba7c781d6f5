"""A store is read as it grows: each part once, the index when it changed and has rested, nothing ever written."""

from pathlib import Path

import pytest

from scalecurv.errors import Misuse
from scalecurv.results.query import open_store
from scalecurv.store import decode as decode_module
from scalecurv.store import reader
from scalecurv.store.compact import compact
from scalecurv.watch.tail import REST, Seen, Tail
from tests.watch.stores import exact, store_checkpoint

NAMES = ("loss", "trace")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for step in range(3):
        store_checkpoint(tmp_path / "store", step, {"loss": exact(1.0 / (1 + step)), "beta": exact(1.0)})
    return tmp_path / "store"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are decoded."""
    names: list[str] = []

    def decode(path: Path) -> decode_module.Tables:
        names.append(path.name)
        return decode_module.decode(path)

    monkeypatch.setattr(reader, "decode", decode)
    return names


def losses(seen: Seen | None) -> dict[str, float]:
    assert seen is not None
    return dict(zip(seen.estimates["fingerprint"], seen.estimates["value"], strict=True))


def test_each_part_is_read_once(store: Path, read: list[str]) -> None:
    tail = Tail(store, NAMES)
    first = tail.look()
    assert losses(first) == {f"/runs/a-{step}": 1.0 / (1 + step) for step in range(3)}  # and no beta
    parts = [name for name in read if name != "store.previous.h5" and name != "store.h5"]
    assert len(parts) == 3
    assert tail.look() is first
    read.clear()
    new = store_checkpoint(store, 7, {"loss": exact(0.1)})
    assert losses(tail.look())["/runs/a-7"] == 0.1
    assert read == [new.name]


def test_it_equals_what_the_store_says(store: Path) -> None:
    store_checkpoint(store, 1, {"loss": exact(9.0)}, created=2e9)  # a second time, later
    compact(store)
    store_checkpoint(store, 2, {"loss": exact(8.0)}, run="/runs/b")
    seen = Tail(store, NAMES).look()
    assert seen is not None
    opened = open_store(store)
    chosen = opened.chosen()
    chosen = chosen[chosen["quantity"] == "loss"].sort_values("fingerprint")
    assert seen.estimates.sort_values("fingerprint")["value"].tolist() == chosen["value"].tolist()
    assert sorted(seen.checkpoints["path"]) == sorted(opened.table("checkpoints")["path"])


def test_the_index_rests_after_it_was_read(store: Path, read: list[str]) -> None:
    """Reading it takes 3 s here: rows that were merged unseen come 60 s later, and nothing is lost meanwhile."""
    ticks = iter([0.0, 0.0, 3.0, 10.0, 62.9, 63.1, 63.1, 66.1])
    tail = Tail(store, NAMES, clock=lambda: next(ticks))
    assert len(losses(tail.look())) == 3
    store_checkpoint(store, 7, {"loss": exact(0.1)})
    assert compact(store) is not None
    read.clear()
    assert REST * 3.0 == 60.0
    for _ in range(2):  # 10 s and 62.9 s
        assert len(losses(tail.look())) == 3
    assert read == []
    assert len(losses(tail.look())) == 4
    assert read == ["store.h5"]


def test_a_broken_part_is_told_until_it_is_set_aside(store: Path) -> None:
    tail = Tail(store, NAMES)
    bad = store / "parts" / "99999999999999-x.h5"
    bad.write_bytes(b"no part")
    seen = tail.look()
    assert seen is not None
    assert list(seen.broken) == [bad]
    assert len(losses(seen)) == 3
    assert tail.look() is seen
    reader.set_aside(bad)
    after = tail.look()
    assert after is not None
    assert after.broken == {}


def test_what_is_not_there_and_what_is_no_store(tmp_path: Path) -> None:
    assert Tail(tmp_path / "none", NAMES).look() is None
    empty = Tail(tmp_path, NAMES).look()
    assert empty is not None
    assert (len(empty.checkpoints), empty.last_stored) == (0, None)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Misuse, match="holds files but no store"):
        Tail(tmp_path, NAMES).look()
    with pytest.raises(Misuse, match="is no store"):
        Tail(tmp_path / "notes.txt", NAMES).look()


def test_nothing_is_written(store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    tail = Tail(store, NAMES)
    tail.look()
    tail.look()
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
