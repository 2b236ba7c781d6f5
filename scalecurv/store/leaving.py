"""The choice of the rows that leave a store when checkpoints are forgotten: what nothing kept refers to."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from scalecurv.store.frames import Tables, plain
from scalecurv.store.schema import ANALYSED
from scalecurv.store.unique import UNIQUE, without_moved

_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")  # how a store writes a byte of a path that is not UTF-8


@dataclass(frozen=True)
class Selection:
    """The checkpoints to forget: those that match all that is given.

    `missing` are those whose file is not there. `run` and `task` are a run and a task as the store names them.
    """

    missing: bool = False
    run: str = ""
    task: str = ""


@dataclass(frozen=True)
class Leaving:
    """The rows that leave a store and those that stay, as tables; each of the two is whole without the other.

    `shown` are the checkpoints that leave, as readers see them. `left_alone` counts, by run, missing checkpoints that
    stay because no file of their run is there.
    """

    going: Tables
    staying: Tables
    shown: pd.DataFrame
    left_alone: Mapping[str, int] = field(default_factory=dict)


def shown_checkpoints(tables: Tables) -> pd.DataFrame:
    """Return the checkpoints as readers see them, in the order of training, given all rows of a store."""
    shown = UNIQUE["checkpoints"](without_moved(tables["checkpoints"], tables["moves"]))
    return plain(shown).sort_values(["run", "step", "path"], kind="stable", ignore_index=True)


def leaving(tables: Tables, selection: Selection) -> Leaving:
    """Return what leaves, given all rows of a store.

    Former rows of a path, and rows of the paths that it had before it was renamed, leave with its row of now. Numbers
    stay where a checkpoint that stays has the same content.
    """
    rows, moves = tables["checkpoints"], tables["moves"]
    chosen, left_alone = _chosen(shown_checkpoints(tables), selection)
    places = set(zip(chosen["path"], chosen["task_id"], strict=True))
    former = _former_paths(moves)
    going = np.array(
        [
            (_now(path, created, former), task) in places
            for path, created, task in zip(rows["path"], rows["created"], rows["task_id"], strict=True)
        ],
        dtype=bool,
    )
    masks = _masks(tables, going)
    out = {name: tables[name][mask].reset_index(drop=True) for name, (mask, _) in masks.items()}
    stay = {name: tables[name][mask].reset_index(drop=True) for name, (_, mask) in masks.items()}
    return Leaving(out, stay, chosen, left_alone)


def _chosen(shown: pd.DataFrame, selection: Selection) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the selected checkpoints, and how many missing ones of which run are left alone.

    A run of which no file is there may lie on a disk that is not mounted: its checkpoints are chosen by its name only.
    """
    wanted = np.ones(len(shown), dtype=bool)
    for column, value in (("run", selection.run), ("task_id", selection.task)):
        if value:
            wanted &= (shown[column] == value).to_numpy(dtype=bool)
    if not selection.missing:
        return shown[wanted], {}
    state = {path: is_gone(path) for path in shown["path"].unique()}
    gone = shown["path"].map(state).to_numpy(dtype=bool)
    wanted &= gone
    if selection.run:
        return shown[wanted], {}
    alive = set(shown.loc[~gone, "run"])
    unmounted = wanted & ~shown["run"].isin(alive).to_numpy(dtype=bool)
    return shown[wanted & ~unmounted], shown.loc[unmounted, "run"].value_counts().sort_index().to_dict()


def is_gone(path: str) -> bool:
    """Return True where nothing is at `path`; a place that cannot be looked at is not gone."""
    spellings = {path, _BYTE.sub(lambda byte: chr(int(f"dc{byte[1]}", 16)), path)}
    return all(_nothing_at(spelling) for spelling in spellings)


def _nothing_at(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # no permission, a stale handle of NFS
        return False
    return False


def _former_paths(moves: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Return for each former path the path that its rows moved to, and since when rows of it are hidden."""
    newest = UNIQUE["moves"](moves)
    return dict(zip(newest["path"], zip(newest["moved_to"], newest["created"], strict=True), strict=True))


def _now(path: str, created: float, former: Mapping[str, tuple[str, float]]) -> str:
    """Return the path at which readers look for the file of a row that was created at a time."""
    while path in former and former[path][1] > created:
        path, created = former[path]
    return path


def _masks(tables: Tables, going: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each table which rows go, and which stay; a row that both sides refer to does both."""
    rows, estimates, files, quantities = (tables[name] for name in ("checkpoints", "estimates", "files", "quantities"))
    out, kept = rows[going], rows[~going]
    masks = {"checkpoints": (going, ~going)}
    for name in ("estimates", "arrays"):
        mask = _same_analysis(tables[name], out) & ~_same_analysis(tables[name], kept)
        masks[name] = mask, ~mask
    known = _holds(files["path"], rows["path"])
    twins = _holds(files["fingerprint"], out["fingerprint"]) & ~_holds(files["fingerprint"], kept["fingerprint"])
    mask = np.where(known, ~_holds(files["path"], kept["path"]), twins)  # a twin is a file without a row of its own
    masks["files"] = mask, ~mask
    numbers, others = (estimates[part] for part in masks["estimates"])
    masks["provenance"] = _parted(tables["provenance"], "provenance_id", numbers, others)
    masks["tasks"] = _parted(tables["tasks"], "task_id", out, kept)
    masks["runs"] = _parted(tables["runs"], "run", out, kept)
    masks["moves"] = _parted(tables["moves"], "path", out, kept)
    masks["quantities"] = _holds(quantities["quantity"], numbers["quantity"]), np.ones(len(quantities), dtype=bool)
    return masks


def _same_analysis(rows: pd.DataFrame, checkpoints: pd.DataFrame) -> np.ndarray:
    """Return True for each row of the content, task, dtype and seed of some checkpoint."""
    wanted = plain(checkpoints[ANALYSED]).drop_duplicates().assign(found=True)
    found = plain(rows[ANALYSED]).merge(wanted, how="left", on=ANALYSED)["found"]
    return found.notna().to_numpy(dtype=bool)


def _holds(column: pd.Series, values: pd.Series) -> np.ndarray:
    return column.isin(values.unique().tolist()).to_numpy(dtype=bool)


def _parted(table: pd.DataFrame, column: str, out: pd.DataFrame, kept: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows of a table those that go refer to, and which stay: all but those that no other row needs."""
    used = _holds(table[column], out[column])
    return used, ~used | _holds(table[column], kept[column])
