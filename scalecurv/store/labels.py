"""Writing new labels of stored checkpoints (run, step, epoch, path) and attributes of runs, without computing anew."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalecurv.record import FileStamp, digest
from scalecurv.store.frames import Tables, empty_tables, frame_of, plain
from scalecurv.store.image import encode
from scalecurv.store.rows import storable
from scalecurv.store.schema import NO_STEP, TABLES
from scalecurv.store.writer import PARTS, write_atomically

Row = dict[str, Any]  # of a table, by column
TICK = 1e-3  # seconds by which one row is newer than another


@dataclass(frozen=True)
class LabelChanges:
    """Rows of the tables `checkpoints`, `files`, `moves` and `runs` that replace older rows of a store."""

    checkpoints: tuple[Row, ...] = ()
    files: tuple[Row, ...] = ()
    moves: tuple[Row, ...] = ()
    runs: tuple[Row, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.files or self.moves or self.runs)

    def __add__(self, other: "LabelChanges") -> "LabelChanges":
        return LabelChanges(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def checkpoint_rows(checkpoints: pd.DataFrame) -> list[Row]:
    """Return rows of the table `checkpoints` one by one, with None for an unknown step or epoch."""
    if checkpoints.empty:
        return []
    rows: list[Row] = plain(checkpoints).to_dict("records")
    for row in rows:
        row["step"] = None if row["step"] == NO_STEP else row["step"]
        row["epoch"] = None if np.isnan(row["epoch"]) else row["epoch"]
    return rows


def stored_attributes(tables: Tables) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Return the attributes of each run that has some, and when they were stored."""
    rows = plain(tables["runs"]).to_dict("records")
    return {r["run"]: json.loads(r["attributes"]) for r in rows}, {r["run"]: r["created"] for r in rows}


def newest_rows(rows: Iterable[Row], tables: Tables) -> dict[str, float]:
    """Return when the newest of these rows of each path was created, or hidden; a row of now has to be newer.

    The clock that dated it may be ahead.
    """
    newest = dict(zip(tables["moves"]["path"], tables["moves"]["created"], strict=True))
    for row in rows:
        newest[row["path"]] = max(newest.get(row["path"], -np.inf), row["created"])
    return newest


def relabelled(row: Row, created: float, **labels: Any) -> Row:
    """Return a row of `checkpoints` that replaces `row`, with other labels.

    Under the same path it adds no products, because a reader sums those of all rows; under another path it has all.
    """
    stays = labels.get("path", row["path"]) == row["path"]
    return {**row, **labels, "created": created, "total_matvecs": 0 if stays else row["total_matvecs"]}


def move_row(path: str, moved_to: str, newest: float) -> Row:
    """Return a row of `moves`, by which readers hide the rows of a path up to the newest, but none that come later."""
    return {"path": path, "moved_to": moved_to, "created": newest + TICK / 2}


def file_row(stamp: FileStamp, fingerprint: str, dtype: str, now: float) -> Row:
    """Return a row of `files`: the state in which a file has this content."""
    state = {"path": stamp.path, "size": stamp.size, "mtime_ns": stamp.mtime_ns, "inode": stamp.inode}
    return {**state, "fingerprint": fingerprint, "dtype": dtype, "created": now}


def run_row(run: str, attributes: Mapping[str, Any], now: float) -> Row:
    """Return a row of `runs`: the attributes of a run, in place of those that it had."""
    return {"run": run, "attributes": json.dumps(attributes), "created": now}


def write_labels(store: Path, changes: LabelChanges) -> Path:
    """Commit changed labels as one part, and return its path; raises StoreError, and changes nothing, where it cannot.

    No row is rewritten: readers take the newest row of each checkpoint and of each run.
    """
    tables = {**empty_tables(), **{f.name: _frame(f.name, getattr(changes, f.name)) for f in fields(changes)}}
    name = digest([[row["path"], row["created"]] for row in (*changes.checkpoints, *changes.files)])
    path = store / PARTS / f"{int(1000 * time.time()):014d}-{name[:12]}-{secrets.token_hex(4)}.h5"
    write_atomically(path, encode(tables))
    return path


def _frame(table: str, rows: tuple[Row, ...]) -> pd.DataFrame:
    unknown = {"step": NO_STEP, "epoch": np.nan}
    data = {
        column.name: [
            storable(row[column.name])
            if column.kind == "text"
            else unknown[column.name]
            if row[column.name] is None
            else row[column.name]
            for row in rows
        ]
        for column in TABLES[table]
    }
    return frame_of(data, TABLES[table])
