"""The newest content of a store, read again and again: what was read once is kept, as parts never change."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scalecurv.results.sharpest import sharpest
from scalecurv.store.frames import Tables, concatenated, empty_tables, plain
from scalecurv.store.reader import FORMER, INDEX, check_store, first_readable, parts_of, read_files
from scalecurv.store.unique import UNIQUE, without_moved

REST = 20.0  # times what reading the index took, before it is read again: it is rewritten while a sweep runs
_TABLES = ("checkpoints", "moves", "estimates")


@dataclass(frozen=True)
class Seen:
    """The checkpoints of a store, and the sharpest row of each quantity that is looked at; with the broken files."""

    checkpoints: pd.DataFrame
    estimates: pd.DataFrame
    broken: dict[Path, str]

    @property
    def last_stored(self) -> float | None:
        """Return when the newest row was made, in seconds since 1970; None where there is none."""
        return None if self.checkpoints.empty else float(self.checkpoints["created"].max())


class Tail:
    """Reads a store that others write to; it takes no lock and writes nothing.

    A look reads the parts that are new. The index is read where it changed, but rests for 20 times as long as that
    took: what it holds has been seen in parts, unless they came and were merged between two looks.
    """

    def __init__(self, store: Path, quantities: tuple[str, ...], clock: Callable[[], float] = time.monotonic):
        self.store, self._quantities, self._clock = store, frozenset(quantities), clock
        self._parts: dict[Path, Tables] = {}
        self._broken: dict[Path, str] = {}
        self._index: Tables | None = None
        self._index_broken: dict[Path, str] = {}
        self._stamp: tuple[object, ...] | None = None
        self._rest_until = clock()
        self._seen: Seen | None = None

    def look(self) -> Seen | None:
        """Return what the store holds now; None where it is not there yet. Raises Misuse where it is no store."""
        if not self.store.exists():
            return None
        check_store(self.store)
        if self._read_parts() | self._read_index() or self._seen is None:
            self._seen = self._merged()
        return self._seen

    def _read_parts(self) -> bool:
        """Read the parts that are new; return True where there are any, or where a broken one was set aside."""
        listed = parts_of(self.store)
        before = set(self._broken)
        found, broken = read_files([path for path in listed if path not in self._parts and path not in before])
        self._parts |= {path: self._wanted(tables) for path, tables in found.items()}
        self._broken = {path: reason for path, reason in {**self._broken, **broken}.items() if path in set(listed)}
        return bool(found) or set(self._broken) != before

    def _read_index(self) -> bool:
        """Read the index where it changed and has rested; return True where it was read."""
        stamp = tuple(_stamp(self.store / name) for name in (INDEX, FORMER))
        began = self._clock()
        if stamp == self._stamp or (self._stamp is not None and began < self._rest_until):
            return False
        listed = set(parts_of(self.store))  # before the index: what is merged meanwhile is read twice, and not missed
        found, self._index_broken = first_readable(self.store)
        self._index = self._wanted(next(iter(found.values()))) if found else None
        self._parts = {path: tables for path, tables in self._parts.items() if path in listed}
        self._stamp = stamp
        now = self._clock()
        self._rest_until = now + REST * (now - began)
        return True

    def _wanted(self, tables: Tables) -> Tables:
        """Return the rows that are looked at, of the whole model and of blocks of parameters alike."""
        estimates = tables["estimates"]
        wanted = estimates["quantity"].isin(self._quantities) & (estimates["component"] == "")
        kept = {name: tables[name] for name in _TABLES}
        return {**kept, "estimates": estimates[wanted].reset_index(drop=True)}

    def _merged(self) -> Seen:
        files = [*([self._index] if self._index else []), *self._parts.values()] or [empty_tables()]
        rows = {name: concatenated([file[name] for file in files], name) for name in _TABLES}
        checkpoints = without_moved(rows["checkpoints"], UNIQUE["moves"](rows["moves"]))
        estimates = UNIQUE["estimates"](rows["estimates"]).reset_index(drop=True)
        shown = UNIQUE["checkpoints"](checkpoints).reset_index(drop=True)
        return Seen(plain(shown), plain(sharpest(estimates)), {**self._broken, **self._index_broken})


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return the state of a file; None where it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
