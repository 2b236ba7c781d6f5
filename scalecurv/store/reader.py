"""Reading all that a store holds, also while others write to it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.record import Asked, Stored
from scalecurv.statistics.stopping import FIRST_LOOK
from scalecurv.store.decode import BrokenFile, decode
from scalecurv.store.frames import Tables, concatenated
from scalecurv.store.schema import SHARPNESS, TABLES
from scalecurv.store.unique import UNIQUE, without_moved
from scalecurv.store.writer import PARTS

INDEX = "store.h5"
FORGOTTEN = "forgotten"  # the folder of files whose rows were set aside; nobody reads them there
FORMER = "store.previous.h5"  # the index before the last merge, read where the index is lost


@dataclass(frozen=True)
class Contents:
    """The tables of a store without repeated rows, and the files that could not be read with the reason."""

    tables: Tables
    broken: dict[Path, str]

    @property
    def stored(self) -> dict[str, Stored]:
        """Return what is stored under each key, from every time that the measure was computed and did not fail."""
        estimates, arrays = self.tables["estimates"], self.tables["arrays"]
        rows = estimates[_COMPUTED].assign(width=_widths(estimates), failed=estimates["status"] == "failed")
        found = rows.groupby(_COMPUTED, observed=True).agg({"width": "max", "failed": "max"})
        alone = arrays.loc[~arrays["key"].isin(estimates["key"].unique()), _COMPUTED].drop_duplicates()
        widths = found.loc[~found["failed"], "width"]
        times = [*zip(widths.index.tolist(), widths.tolist(), strict=True)]
        times += [(row, math.inf) for row in alone.itertuples(index=False, name=None)]
        stored: dict[str, Stored] = {}
        as_asked = cache(Asked)  # a few, in many rows
        for (key, *limits), width in times:
            before, asked = stored.get(key), as_asked(*limits)
            stored[key] = before.also(asked, width) if before else Stored((asked,), width)
        return stored


_COMPUTED = ["key", *SHARPNESS]


def half_lengths(estimates: pd.DataFrame) -> pd.Series:
    """Return half the length of each row's interval, infinite where the interval is not to be relied on.

    It is not for lower bounds, bounds that rest on a spent budget, and a budget of too few samples. It is 0 where a row
    is exact, and NaN where it does not apply.
    """
    status, length = _of_few(estimates["status"]), estimates["upper"] - estimates["lower"]
    few = estimates["stderr"].notna() & (estimates["num_samples"] < FIRST_LOOK)
    spent = (status == "budget") & (few | (length == 0))
    return (length / 2).mask((status == "lower_bound") | spent, math.inf).mask(status == "exact", 0.0)


def _widths(estimates: pd.DataFrame) -> np.ndarray:
    """Return the relative half-width of each row, infinite where a sharper request may find more.

    It is 0 where a row is exact or does not apply, and for parts (layers) beside the whole, which have no tolerance of
    their own. It is at most the rtol that was asked where that was met, as the tolerance may be an absolute one.
    Infinite are intervals that are not to be relied on (see `half_lengths`), and rows whose two routes disagree.
    """
    status, whole = _of_few(estimates["status"]), _is_whole(estimates)
    quantities = _of_few(estimates["quantity"]).cat
    pairs = estimates["key"].cat.codes.astype(np.int64) * len(quantities.categories) + quantities.codes
    beside = pairs.isin(pairs[whole]) & ~whole
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (half_lengths(estimates) / estimates["value"].abs()).fillna(math.inf)
    width = width.mask(status == "inconsistent", math.inf)
    width = width.mask(status.isin(("certified", "converged")), np.minimum(width, estimates["rtol"]))
    return width.mask(beside | status.isin(("exact", "not_applicable")), 0.0).to_numpy()


def _of_few(texts: pd.Series) -> pd.Series:
    """Return a column of few different texts with these as its categories: all texts of a table share theirs."""
    return texts.cat.remove_unused_categories()


def _is_whole(estimates: pd.DataFrame) -> np.ndarray:
    """Return True for each row whose component is the block of parameters that its measure was asked of."""
    components, measures = (_of_few(estimates[name]).cat for name in ("component", "measure"))
    blocks = [measure.partition(" ")[2] for measure in measures.categories]  # after the name of the measure
    same = [component == block for component in components.categories for block in blocks]
    table = np.array(same, dtype=bool).reshape(len(components.categories), len(blocks))
    return table[components.codes, measures.codes]


class _Merged(Mapping[str, pd.DataFrame]):
    """The tables of several files as one, each concatenated at its first use."""

    def __init__(self, files: list[Tables]):
        self._files = files
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            rows = concatenated([file[name] for file in self._files], name)
            if name == "checkpoints":  # before products are added up: those of moved rows are in the rows of now
                rows = without_moved(rows, self["moves"])
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
