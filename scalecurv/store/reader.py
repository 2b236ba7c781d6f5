"""All that a store holds, whoever is writing to it meanwhile."""

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
FORMER = "store.previous.h5"  # the index before the last merge: read where the index is lost


@dataclass(frozen=True)
class Contents:
    """The tables with every repetition removed, and the files that could not be read, with the reason."""

    tables: Tables
    broken: dict[Path, str]

    @property
    def keys(self) -> frozenset[str]:
        """The keys that need not be computed again: none of their estimates failed."""
        estimates, arrays = self.tables["estimates"], self.tables["arrays"]
        failed = estimates.loc[estimates["status"] == "failed", "key"]
        return frozenset({*estimates["key"].unique(), *arrays["key"].unique()}.difference(failed.unique()))


class _Merged(Mapping[str, pd.DataFrame]):
    """The tables of several files as one, each put together when it is first asked for."""

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
    """Read every part, then the index: that order misses nothing while parts are merged into the index.

    Where the index is lost, the one before it is read. Raises Misuse where `store` is no directory.
    """
    check_store(store)
    parts, broken = read_files(parts_of(store))
    index, why = first_readable(store)
    if store / FORMER in index and store / INDEX not in why:
        why = {store / INDEX: f"{store / INDEX} is gone; {FORMER} is read in its place, without the last merge"}
    return Contents(_Merged([*index.values(), *parts.values()]), broken | why)


def first_readable(store: Path) -> tuple[dict[Path, Tables], dict[Path, str]]:
    """The index, or where it is lost the one before, if there is any; and what is broken of the two."""
    broken: dict[Path, str] = {}
    for path in (store / INDEX, store / FORMER):
        found, why = read_files([path])
        broken |= why
        if found:
            return found, broken
    return {}, broken


def read_files(paths: list[Path]) -> tuple[dict[Path, Tables], dict[Path, str]]:
    """The tables of each file that is there and whole, and why each other one is not; in the order given."""
    found: dict[Path, Tables] = {}
    broken: dict[Path, str] = {}
    for path in paths:
        try:
            found[path] = decode(path)
        except FileNotFoundError:  # merged away since it was listed, or no index yet
            continue
        except BrokenFile as error:
            broken[path] = str(error)
    return found, broken


def parts_of(store: Path) -> list[Path]:
    """The parts that lie loose, the oldest first."""
    return sorted((store / PARTS).glob("*.h5"))


def check_store(store: Path) -> None:
    """Raise Misuse for what is no directory, or holds something but no store: it may be anything of the user's."""
    if not store.is_dir():
        raise Misuse(f"{store} is no store; give the directory that `scalecurv analyze` wrote to")
    if any(store.iterdir()) and not (store / PARTS).is_dir() and not (store / INDEX).exists():
        raise Misuse(f"{store} holds files but no store; give the store's own directory, or a new one")


def set_aside(path: Path) -> Path:
    """Rename a file out of the readers' sight that is broken still: nothing is deleted, its keys become work again.

    A second sweep may have set it aside, and put a whole one in its place: that one stays.
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
