"""Loose parts merged into the index: one writer at a time, nothing removed before what replaces it is on disk."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scalecurv.errors import StoreError
from scalecurv.store.frames import Tables, concatenated
from scalecurv.store.image import encode
from scalecurv.store.reader import FORMER, INDEX, check_store, first_readable, parts_of, read_files, set_aside
from scalecurv.store.schema import TABLES
from scalecurv.store.unique import UNIQUE, distinct_runs
from scalecurv.store.writer import PARTS, temporary_beside, write_atomically

LOCK = ".lock"
MANY = 64  # loose parts: each costs a reader some 10 ms
SHARE = 16  # an index is rewritten once parts are 1/16 of it, so that no row is written more than some 16 times
STALE = 3600.0  # seconds: no write takes that long, so its temporary file belongs to nobody


@dataclass(frozen=True)
class Merge:
    """What one merge did: parts that went into the index, rows of estimates in it, and what could not be read."""

    parts: int
    estimates: int
    broken: dict[Path, str]


def compact(store: Path) -> Merge | None:
    """Merge all parts into `store`/store.h5; None where another process is at it.

    Readers see every row all the time: a part goes only after the index that holds it is on disk, and a reader lists
    parts first. The index before is kept as store.previous.h5: where store.h5 is ever damaged, all but the last
    merge is still there. Raises Misuse where there is no store, StoreError (nothing lost) where the disk is full.
    """
    check_store(store)
    try:
        with _lock(store) as held:
            return _merge(store) if held else None
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{store} cannot be merged ({error.strerror}); nothing is lost: its parts stay") from error


def compact_if_many(store: Path) -> Merge | None:
    """Merge where more than 64 parts lie loose, and rewriting the index is worth it.

    A sweep goes on with loose parts where it cannot be done: no room, a file system without locks.
    """
    parts = parts_of(store)
    if len(parts) <= MANY:
        return None
    index = store / INDEX
    with suppress(FileNotFoundError):  # another process may be merging
        if SHARE * sum(part.stat().st_size for part in parts) < (index.stat().st_size if index.exists() else 0):
            return None
    try:
        return compact(store)
    except StoreError:
        return None


def _merge(store: Path) -> Merge:
    _remove_stale(store)
    parts, broken = read_files(parts_of(store))
    index, why = first_readable(store)
    files = [*index.values(), *parts.values()]
    merged = {name: _merged(name, files) for name in TABLES}
    if parts or why:
        image = encode(merged)
        for path in why:
            set_aside(path)
        if store / INDEX in index:
            _keep(store / INDEX, store / FORMER)
        write_atomically(store / INDEX, image)
    for part in parts:
        part.unlink(missing_ok=True)
    return Merge(len(parts), len(merged["estimates"]), broken | why)


def _merged(name: str, files: list[Tables]) -> pd.DataFrame:
    rows = concatenated([file[name] for file in files], name)
    return distinct_runs(rows) if name == "checkpoints" else UNIQUE[name](rows)


def _keep(index: Path, former: Path) -> None:
    """A second name for the index of now, which a replacement of the first does not touch."""
    temporary = temporary_beside(former)
    try:
        os.link(index, temporary)
    except OSError:  # a file system without hard links
        write_atomically(former, index.read_bytes())
        return
    os.replace(temporary, former)
    temporary.unlink(missing_ok=True)  # a rename does nothing between two names of one file


def _remove_stale(store: Path) -> None:
    """What writers that were killed left behind: never acknowledged, never read."""
    for folder in (store, store / PARTS):
        for path in folder.glob(".*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()


@contextmanager
def _lock(store: Path) -> Iterator[bool]:
    """Whether this process alone merges now; the system lets go of it however the process ends."""
    descriptor = os.open(store / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
