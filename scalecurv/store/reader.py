"""Reading all that a store holds, also while others write to it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.store.frames import Tables, concatenated
from scalecurv.store.image import BrokenFile, decode
from scalecurv.store.schema import TABLES
from scalecurv.store.unique import UNIQUE
from scalecurv.store.writer import PARTS

INDEX = "store.h5"
FORMER = "store.previous.h5"  # the index before the last merge, read where the index is lost


@dataclass(frozen=True)
class Contents:
    """The tables of a store without repeated rows, and the files that could not be read with the reason."""

    tables: Tables
    broken: dict[Path, str]

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys that need not be computed again, those of which no estimate failed."""
        estimates, arrays = self.tables["estimates"], self.tables["arrays"]
        failed = estimates.loc[estimates["status"] == "failed", "key"]
        return frozenset({*estimates["key"].unique(), *arrays["key"].unique()}.difference(failed.unique()))


class _Merged(Mapping[str, pd.DataFrame]):
    """The tables of several files as one, each concatenated at its first use."""

    def __init__(self, files: list[Tables]):
        self._files = files
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            rows = concatenated([file[name] for file in self._files], name)
            self._read[name] = UNIQUE[name](rows).reset_index(drop=True)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def read_store(store: Path) -> Contents:
    """Return the contents of a store: every part is read, then the index.

    That order misses no row while parts are merged into the index. Where the index is lost, the former one is read.
    Raises Misuse where `store` is no directory.
    """
    check_store(store)
    parts, broken = read_files(parts_of(store))
    index, why = first_readable(store)
    if store / FORMER in index and store / INDEX not in why:
        why = {store / INDEX: f"{store / INDEX} is gone; {FORMER} is read in its place, without the last merge"}
    return Contents(_Merged([*index.values(), *parts.values()]), broken | why)


def first_readable(store: Path) -> tuple[dict[Path, Tables], dict[Path, str]]:
    """Return the index, or the former one where it is lost, by its path; and the reasons for broken ones."""
    broken: dict[Path, str] = {}
    for path in (store / INDEX, store / FORMER):
        found, why = read_files([path])
        broken |= why
        if found:
            return found, broken
    return {}, broken


def read_files(paths: list[Path]) -> tuple[dict[Path, Tables], dict[Path, str]]:
    """Return the tables of each whole file, in the order given, and the reason for each broken one; skip missing."""
    found: dict[Path, Tables] = {}
    broken: dict[Path, str] = {}
    for path in paths:
        try:
            found[path] = decode(path)
        except FileNotFoundError:  # merged into the index since it was listed, or there is no index yet
            continue
        except BrokenFile as error:
            broken[path] = str(error)
    return found, broken


def parts_of(store: Path) -> list[Path]:
    """Return the loose parts, the oldest first."""
    return sorted((store / PARTS).glob("*.h5"))


def check_store(store: Path) -> None:
    """Raise Misuse where `store` is no directory, or one that holds files but no store."""
    if not store.is_dir():
        raise Misuse(f"{store} is no store; give the directory that `scalecurv analyze` wrote to")
    if any(store.iterdir()) and not (store / PARTS).is_dir() and not (store / INDEX).exists():
        raise Misuse(f"{store} holds files but no store; give the store's own directory, or a new one")


def set_aside(path: Path) -> Path:
    """Rename a broken file so that no reader reads it, and return its new path.

    Nothing is deleted, and its keys are computed again. A file that is whole stays where it is: another sweep may have
    set the broken one aside and written a whole one in its place.
    """
    found, _ = read_files([path])
    if found or not path.exists():
        return path
    for i in range(1000):
        target = path.with_name(f"{path.name}.{i}.broken" if i else f"{path.name}.broken")
        if not target.exists():
            with suppress(FileNotFoundError):
                path.rename(target)
            return target
    raise Misuse(f"{path.parent} holds a thousand broken files of one name; look at the disk under it")
