"""The audit of a store: every reported checkpoint is there, files are readable, numbers are equal bit for bit."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chaos.processes import acknowledged_in
from scalecurv.store.reader import read_store

VOLATILE = {"seconds", "created", "attempt", "provenance_id"}  # what may differ between two runs of the same work
TABLES = ("checkpoints", "estimates", "arrays")
IDENTITY = {"estimates": ["key", "quantity", "component"], "arrays": ["key", "name"]}
COLUMNS = ("kind", "kills", "sweeps", "acknowledged", "lost", "wrong", "unreadable", "crashes", "hangs", "code run")
FAULTS = COLUMNS[4:]


@dataclass
class Tally:
    """A line of the table. Where files are damaged, `kills` counts files, and there are no `sweeps` and `acknowledged`.

    lost: reported as stored, but not read back as such. wrong: rows that differ from an undisturbed run's, lack, or
    stand twice. unreadable: files of a store that nobody damaged and that cannot be read. crashes: processes that died
    of themselves or ended in a way that they must not. hangs: what did not end in time.
    """

    kind: str
    counts: Counter[str] = field(default_factory=Counter)
    is_files: bool = False
    notes: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    def fault(self, column: str, detail: str, count: int = 1) -> None:
        """Count a fault, and print what happened: a number alone cannot be looked into."""
        self.counts[column] += count
        self.details.append(f"{self.kind}: {column}: {detail}")
        print(self.details[-1], file=sys.stderr, flush=True)

    @property
    def faults(self) -> int:
        return sum(self.counts[name] for name in FAULTS)

    def cells(self) -> list[str]:
        absent = {"sweeps", "acknowledged"} if self.is_files else set()
        return [self.kind, *("-" if name in absent else str(self.counts[name]) for name in COLUMNS[1:])]


def total(tallies: list[Tally]) -> Tally:
    return Tally("total", sum((tally.counts for tally in tallies), Counter()))


def rows_of(tables: Mapping[str, pd.DataFrame]) -> Counter[tuple[Any, ...]]:
    """Return every number of a store as a multiset, without what differs between two equal runs."""
    rows: Counter[tuple[Any, ...]] = Counter()
    for name in TABLES:
        frame = tables[name]
        columns = sorted(set(frame.columns) - VOLATILE)
        lists = [[_cell(value) for value in frame[column].tolist()] for column in columns]
        rows.update((name, *row) for row in zip(*lists, strict=True))
    return rows


def _cell(value: Any) -> Any:
    """Return an object that compares bit for bit: NaN equals itself, and 0.0 is not -0.0."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return value.hex() if isinstance(value, float) else value


def rows_stored(store: Path) -> Counter[tuple[Any, ...]]:
    return rows_of(read_store(store).tables)


def duplicates(tables: Mapping[str, pd.DataFrame]) -> int:
    return sum(int(tables[name].duplicated(identity).sum()) for name, identity in IDENTITY.items())


class Audit:
    """A store under fire: what was reported as stored stays readable, and at the end everything is there."""

    def __init__(self, store: Path, tally: Tally):
        self.store = store
        self._tally = tally
        self._reported: set[str] = set()
        self._lost: set[str] = set()
        self._broken: set[Path] = set()

    def hear(self, text: str) -> None:
        """Note the checkpoints that a sweep has reported so far."""
        new = acknowledged_in(text) - self._reported
        self._reported |= new
        self._tally.counts["acknowledged"] += len(new)

    def check(self) -> int:
        """Return how many checkpoints are done, after a kill; all reports that count were heard before it."""
        if not self.store.is_dir():  # killed before it was made
            good: set[str] = set()
        else:
            contents = read_store(self.store)
            checkpoints = contents.tables["checkpoints"]
            good = set(checkpoints.loc[checkpoints["status"] == "ok", "path"])
            for path in contents.broken.keys() - self._broken:
                self._tally.fault("unreadable", contents.broken[path])
            self._broken |= contents.broken.keys()
            if twice := duplicates(contents.tables):
                self._tally.fault("wrong", f"{twice} rows stand twice in {self.store.name}", twice)
        lost = self._reported - good - self._lost
        for path in lost:
            self._tally.fault("lost", f"{path} was reported as stored in {self.store.name}")
        self._lost |= lost
        return len(good)

    def conclude(self, reference: Counter[tuple[Any, ...]]) -> None:
        """Compare a finished store with that of an undisturbed serial run: equal rows, none missing, none added."""
        self.check()
        found = rows_stored(self.store) if self.store.is_dir() else Counter()
        if wrong := max((reference - found).total(), (found - reference).total()):
            self._tally.fault("wrong", f"{wrong} rows of {self.store.name} are not those of an undisturbed run", wrong)
