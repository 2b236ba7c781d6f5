"""Merging loose parts into the index: one writer at a time, no file removed before its replacement is on disk."""

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
MANY = 64  # loose parts; each costs a reader some 10 ms
SHARE = 16  # an index is rewritten once its parts are 1/16 of it: all writing together is some 17 times its size
STALE = 3600.0  # seconds; no write takes that long: an older temporary file has lost its writer


@dataclass(frozen=True)
class Merge:
    """The result of a merge: parts that went into the index, rows of estimates in it, files that could not be read."""

    parts: int
    estimates: int
    broken: dict[Path, str]


def compact(store: Path) -> Merge | None:
    """Merge all parts into `store`/store.h5; return None where another process is merging.

    Readers see every row at all times: a part is removed only after the index that holds it is on disk, and a reader
    lists the parts first. The former index is kept as store.previous.h5: where store.h5 is damaged later, it still
    holds everything except the last merge. Raises Misuse where there is no store, StoreError (with nothing lost) where
    the disk is full.
    """
    check_store(store)
    try:
        with merge_lock(store) as held:
            return merge_parts(store) if held else None
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{store} cannot be merged ({error.strerror}); nothing is lost: its parts stay") from error


def compact_if_many(store: Path) -> Merge | None:
    """Merge where there are more than 64 loose parts, of at least 1/16 of the index in bytes.

    Returns None where nothing was merged, also where it cannot be done (no room, a file system without locks): a sweep
    continues with loose parts.
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


def merge_parts(store: Path) -> Merge:
    """Merge all parts into the index; the caller holds the lock."""
    _remove_stale(store)
    parts, broken = read_files(parts_of(store))
    index, why = first_readable(store)
    files = [*index.values(), *parts.values()]
    merged = merged_tables(files)
    if parts or why:
        image = encode(merged, described=True)
        for path in why:
            set_aside(path)
        if store / INDEX in index:
            keep_former(store)
        write_atomically(store / INDEX, image)
    for part in parts:
        part.unlink(missing_ok=True)
    return Merge(len(parts), len(merged["estimates"]), broken | why)


def merged_tables(files: list[Tables]) -> dict[str, pd.DataFrame]:
    """Return the rows of all files as one index holds them."""
    return {name: _merged(name, files) for name in TABLES}


def _merged(name: str, files: list[Tables]) -> pd.DataFrame:
    rows = concatenated([file[name] for file in files], name)
    return distinct_runs(rows) if name == "checkpoints" else UNIQUE[name](rows)


def keep_former(store: Path) -> None:
    """Give the present index a second name, which stays when the first is replaced."""
    index, former = store / INDEX, store / FORMER
    temporary = temporary_beside(former)
    try:
        os.link(index, temporary)
    except OSError:  # a file system without hard links
        write_atomically(former, index.read_bytes())
        return
    os.replace(temporary, former)
    temporary.unlink(missing_ok=True)  # a rename does nothing between two names of one file


def _remove_stale(store: Path) -> None:
    """Remove temporary files of writers that were killed; no reader ever reads them."""
    for folder in (store, store / PARTS):
        for path in folder.glob(".*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()


@contextmanager
def merge_lock(store: Path) -> Iterator[bool]:
    """Yield True where this process holds the lock; the system releases it however the process ends."""
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
