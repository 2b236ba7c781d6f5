"""A merge that is cut short at any moment, or runs out of disk, loses nothing and repeats nothing."""

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalecurv.errors import StoreError
from scalecurv.store import compact as module
from scalecurv.store.compact import Merge, compact
from scalecurv.store.inspection import problems_of
from scalecurv.store.reader import FORMER, INDEX, parts_of, read_store
from scalecurv.store.writer import write_part
from tests.store.forging import listing
from tests.store.merging import LATE, refused, rows

pytestmark = pytest.mark.usefixtures("decoded_once")


def moments(store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Merge `store`; copies of it as a crash before or after each of the system's calls would have left it."""
    copies: list[Path] = []

    def copy() -> None:
        copies.append(folder / str(len(copies)))
        shutil.copytree(store, copies[-1])

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            copy()
            return call(*arguments, **options)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(module, "encode", watched(module.encode))
        for name in ("link", "replace", "rename", "unlink", "fsync"):
            patch.setattr(os, name, watched(getattr(os, name)))
        compact(store)
    copy()
    return copies


@pytest.mark.parametrize("links", [True, False])
def test_a_crash_at_any_moment_loses_nothing_and_repeats_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    before, index = rows(store), (store / INDEX).read_bytes()
    if not links:
        monkeypatch.setattr(os, "link", refused)
    copies = moments(store, tmp_path, monkeypatch)
    assert len(copies) == (10 if links else 11)  # each call to the system of the merge, and the end
    assert sorted({len(parts_of(copy)) for copy in copies}) == [0, 1, 2]
    for copy in copies:
        assert rows(copy) == before
        if len(parts_of(copy)) < 2:  # what replaces a part is there before it goes
            assert listing(copy)[FORMER] == index
    for copy in copies if links else ():
        assert compact(copy) is not None
        assert rows(copy) == before
        assert parts_of(copy) == []
        assert problems_of(copy / INDEX) == []


def test_a_crash_while_a_broken_index_is_replaced(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compact(store)
    write_part(store, LATE)
    (store / INDEX).write_bytes(b"broken")
    expected = read_store(store)
    assert list(expected.broken) == [store / INDEX]
    copies = moments(store, tmp_path, monkeypatch)
    assert len(copies) == 7  # encode, set aside, fsync, replace, fsync, unlink and the end
    assert listing(copies[0])[INDEX] == b"broken"  # nothing moves before what replaces it is there
    for copy in copies:
        contents = read_store(copy)
        assert contents.stored.keys() == expected.stored.keys() == {"k1", "k3"}
        assert set(contents.broken) <= {copy / INDEX}
    for copy in copies[1:4]:
        compact(copy)
        assert read_store(copy).stored.keys() == expected.stored.keys()
        assert read_store(copy).broken == {}
        assert [path.read_bytes() for path in copy.glob("*.broken")] == [b"broken"]


@pytest.mark.fault
@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_loses_nothing(store: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    before, files = rows(store), listing(store)
    if not links:
        monkeypatch.setattr(os, "link", refused)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r" cannot be written \(File too large\); make room and run the same"):
            compact(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {name: content for name, content in listing(store).items() if name in files} == files
    assert rows(store) == before
    assert compact(store) == Merge(2, 2, {})
    assert rows(store) == before
