"""Parts are committed whole or not at all, and every acknowledged one survives whatever happens next."""

import errno
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalecurv.errors import Misuse, StoreError
from scalecurv.store import writer
from scalecurv.store.decode import decode
from scalecurv.store.reader import parts_of, read_store
from scalecurv.store.rows import rows_of
from scalecurv.store.writer import PARTS, prepare_store, write_atomically, write_part
from tests.outcomes import cells, exactly, failure, outcome, record, store_of

FIRST = outcome("/runs/step_1.pt", record("k1", exactly(trace=1.5), ritz=[1, 2]))


def listing(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_a_part_holds_its_outcome(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a" / "store")
    path = write_part(store, FIRST)
    assert path.parent == store / "parts"
    assert path.suffix == ".h5"
    assert cells(decode(path)) == cells(rows_of(FIRST))
    assert list(listing(store)) == [f"parts/{path.name}"]


def test_no_part_is_ever_written_over_and_names_sort_by_time(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    newer = replace(FIRST, created=1e9, records=(record("k1", exactly(trace=2.5)),))
    paths = [write_part(store, part) for part in (FIRST, FIRST, newer)]
    assert len({*paths}) == len(listing(store)) == 3
    assert sorted(paths)[-1] == paths[-1] == parts_of(store)[-1]
    assert read_store(store).tables["estimates"]["value"].tolist() == [2.5]


@pytest.mark.parametrize("change", [{"task_id": "t2"}, {"seed": 1}])
def test_failures_at_one_path_do_not_wipe_each_other_out(tmp_path: Path, change: dict[str, Any]) -> None:
    one, two = failure("/runs/a.pt", "broken"), failure("/runs/a.pt", "broken", **change)
    assert len(read_store(store_of(tmp_path, one, two)).tables["checkpoints"]) == 2


def test_the_order_of_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content on disk, then its name, then the directory on disk: a power cut leaves the old or the new."""
    events: list[tuple[str, Any]] = []
    fsync, replace_file = os.fsync, os.replace

    def seen_fsync(descriptor: int) -> None:
        here = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append(("fsync", here.name if here.is_dir() else here.read_bytes()))
        fsync(descriptor)

    def seen_replace(source: Path, target: Path) -> None:
        events.append(("replace", Path(target).name))
        assert Path(source).parent == Path(target).parent
        assert Path(source).suffix != ".h5"  # no reader takes it for a part
        replace_file(source, target)

    monkeypatch.setattr(writer.os, "fsync", seen_fsync)
    monkeypatch.setattr(writer.os, "replace", seen_replace)
    write_atomically(tmp_path / "x.h5", b"content")
    assert events == [("fsync", b"content"), ("replace", "x.h5"), ("fsync", tmp_path.name)]
    assert listing(tmp_path) == {"x.h5": b"content"}


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    store = store_of(tmp_path, FIRST)
    before = listing(store)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if call == "write":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    else:
        monkeypatch.setattr(writer.os, call, full)
    try:
        with pytest.raises(StoreError) as caught:
            write_part(store, replace(FIRST, path="/runs/step_2.pt"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    reason = "File too large" if call == "write" else "No space left on device"
    message = f"{store / PARTS} cannot be written ({reason}); make room and run the same again"
    assert str(caught.value) == message
    assert listing(store) == before
    monkeypatch.undo()
    write_part(store, replace(FIRST, path="/runs/step_2.pt"))  # with room again it goes on
    assert len(read_store(store).tables["checkpoints"]) == 2


def test_a_store_whose_disk_went_away(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store")
    (store / PARTS).rmdir()
    with pytest.raises(StoreError) as caught:
        write_part(store, FIRST)
    message = f"{store / PARTS} cannot be written (No such file or directory); see to it that it can and run the same"
    assert str(caught.value) == f"{message} again"


def test_places_that_cannot_be_a_store(tmp_path: Path) -> None:
    file = tmp_path / "results.h5"
    file.write_bytes(b"precious")
    with pytest.raises(Misuse) as caught:
        prepare_store(file)
    assert str(caught.value) == f"{file} is a file; give a directory for the store (it is made if it does not exist)"
    with pytest.raises(Misuse) as caught:
        prepare_store(file / "store")
    advice = "give a directory that can be written"
    assert str(caught.value) == f"{file / 'store'} cannot be made a store (Not a directory); {advice}"
    with pytest.raises(Misuse) as caught:
        prepare_store(Path("/proc/store"))
    assert str(caught.value) == f"/proc/store cannot be made a store (No such file or directory); {advice}"
    assert file.read_bytes() == b"precious"


def test_preparing_twice_touches_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path / "deep" / "store", FIRST)
    before = listing(store)
    prepare_store(store)
    assert listing(store) == before
