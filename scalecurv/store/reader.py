"""Reading all that a store holds, also while others write to it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.quantities import DERIVED
from scalecurv.record import Asked, Stored
from scalecurv.store.frames import Tables, concatenated, plain
from scalecurv.store.image import BrokenFile, decode
from scalecurv.store.schema import TABLES
from scalecurv.store.unique import UNIQUE, without_moved
from scalecurv.store.writer import PARTS

INDEX = "store.h5"
FORMER = "store.previous.h5"  # the index before the last merge, read where the index is lost


@dataclass(frozen=True)
class Contents:
    """The tables of a store without repeated rows, and the files that could not be read with the reason."""

    tables: Tables
    broken: dict[Path, str]

    @property
    def stored(self) -> dict[str, Stored]:
        """Return what is stored under each key of which no estimate failed."""
        estimates, arrays = self.tables["estimates"], self.tables["arrays"]
        rows = estimates[["key", *_SHARPNESS]].assign(width=_widths(estimates))
        alone = arrays.loc[~arrays["key"].isin(set(estimates["key"])), ["key", *_SHARPNESS]].assign(width=math.inf)
        frame = pd.concat([plain(rows), plain(alone)]) if len(alone) else plain(rows)
        worst = frame.groupby("key").agg({"rtol": "max", "max_matvecs": "min", "memory": "min", "width": "max"})
        worst = worst.drop(estimates.loc[estimates["status"] == "failed", "key"].unique())
        return {key: Stored(Asked(*asked), width) for key, *asked, width in worst.itertuples(name=None)}


_SHARPNESS = [field.name for field in fields(Asked)]


def _widths(estimates: pd.DataFrame) -> np.ndarray:
    """Return the relative half-width of each row: 0 where it is exact, says nothing of its key, or does not apply.

    Parts (layers) and quantities that derive from others say nothing. Infinite for a lower bound, and where two routes
    disagree.
    """
    lengths = estimates["component"].map(len, na_action=None).astype(np.int64)
    part = lengths > lengths.groupby(estimates["key"], observed=True).transform("min")
    status = estimates["status"].astype(object)
    silent = part | status.isin(("exact", "not_applicable")) | estimates["quantity"].isin(DERIVED)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (estimates["upper"] - estimates["lower"]) / 2 / estimates["value"].abs()
    open_ended = status.isin(("lower_bound", "inconsistent")) | width.isna()
    return np.where(silent, 0.0, np.where(open_ended, math.inf, width))


class _Merged(Mapping[str, pd.DataFrame]):
    """The tables of several files as one, each concatenated at its first use."""

    def __init__(self, files: list[Tables]):
        self._files = files
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            rows = concatenated([file[name] for file in self._files], name)
            rows = UNIQUE[name](rows)
            if name == "checkpoints":
                rows = without_moved(rows, self["moves"])
            self._read[name] = rows.reset_index(drop=True)
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
