"""Forgetting that is cut short at any moment, or runs out of disk: the store is as it was, or as it is to be."""

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalecurv.errors import StoreError
from scalecurv.store import compact as compacting
from scalecurv.store import forget as module
from scalecurv.store.compact import compact
from scalecurv.store.forget import forget
from scalecurv.store.inspection import problems_of
from scalecurv.store.reader import FORGOTTEN, FORMER, INDEX
from scalecurv.store.writer import PARTS
from tests.store.forgetting import held, store_at
from tests.store.forging import listing
from tests.store.merging import refused

pytestmark = pytest.mark.usefixtures("decoded_once")


Rows = dict[str, list[str]]


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows, Rows]:
    root = tmp_path_factory.mktemp("forget")
    store = store_at(root)
    after = shutil.copytree(store, root / "after")
    forget(after, run="a")
    return store, held(store), held(after)


@pytest.fixture(name="halves")
def _halves(made: tuple[Path, Rows, Rows], tmp_path: Path) -> tuple[Path, Rows, Rows]:
    """A store, most of it merged; what readers see of it, and what they see once run a is forgotten."""
    return shutil.copytree(made[0], tmp_path / "store"), *made[1:]


def moments(store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Forget a run; copies of the store as a crash before or after each of the system's calls would have left it."""
    copies: list[Path] = []
    mkdir = os.mkdir

    def copy() -> None:
        copies.append(folder / str(len(copies)))
        with monkeypatch.context() as patch:
            patch.setattr(os, "mkdir", mkdir)  # its own are not to be watched
            shutil.copytree(store, copies[-1])

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            copy()
            return call(*arguments, **options)

        return act

    with monkeypatch.context() as patch:
        for place in (module, compacting):
            patch.setattr(place, "encode", watched(place.encode))
        for name in ("link", "replace", "unlink", "fsync", "mkdir"):
            patch.setattr(os, name, watched(getattr(os, name)))
        forget(store, run="a")
    copy()
    return copies


@pytest.mark.parametrize("links", [True, False])
def test_a_crash_at_any_moment_loses_nothing(
    halves: tuple[Path, Rows, Rows],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    links: bool,
) -> None:
    store, before, after = halves
    if not links:
        monkeypatch.setattr(os, "link", refused)
    copies = moments(store, tmp_path / "copies", monkeypatch)
    seen = [held(copy) for copy in copies]
    turned = seen.index(after)
    assert seen == [before] * turned + [after] * (len(seen) - turned)  # one call to the system makes the difference
    assert (turned, len(seen)) == ((21, 23) if links else (23, 25))
    for copy in copies[turned:]:
        (file,) = (copy / FORGOTTEN).iterdir()
        assert problems_of(file) == problems_of(copy / INDEX) == problems_of(copy / FORMER) == []
    for copy in (copies[turned], copies[turned - 1]):  # the same command again, and a way back from either
        forget(copy, run="a") if copy is copies[turned - 1] else None
        assert held(copy) == after
        for file in (copy / FORGOTTEN).glob("[!.]*"):
            file.rename(copy / PARTS / file.name)
        assert held(copy) == before


@pytest.mark.fault
def test_a_full_disk_loses_nothing(halves: tuple[Path, Rows, Rows], monkeypatch: pytest.MonkeyPatch) -> None:
    store, before, after = halves
    compact(store)
    files = listing(store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r" cannot be written \(File too large\); make room and run the same"):
            forget(store, run="a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert listing(store) == files
    assert held(store) == before
    assert forget(store, run="a").file is not None
    assert held(store) == after


def test_a_system_that_refuses_is_told_in_one_line(
    halves: tuple[Path, Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before, _ = halves
    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(StoreError) as caught:
        forget(store, run="a")
    assert str(caught.value) == f"{store} cannot be written (this file system knows no links); nothing is lost"
    monkeypatch.undo()
    assert held(store) == before
