"""The choice among rows that repeat one thing, a rule for each table; order and repetition of merges do not matter."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from scalecurv.store.frames import best_of
from scalecurv.store.schema import ANALYSED, KEYS

_RANK = {"ok": 2, "partial": 1, "failed": 0}


def distinct_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each analysis of each checkpoint once. An index keeps them all, because their products are added up."""
    return frame.drop_duplicates(KEYS["checkpoints"])


def _checkpoints(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row that worked of each (path, task, seed, dtype), a failed one only where none worked.

    `total_matvecs` is the sum over all analyses of the same content.
    """
    if frame.empty:
        return frame
    frame = distinct_runs(frame)
    frame = frame.assign(
        total_matvecs=frame.groupby(["path", *ANALYSED], observed=True)["total_matvecs"].transform("sum"),
        rank=frame["status"].astype(object).map(lambda status: _RANK.get(status, 0)).astype(np.int64),
    )
    worked = frame.groupby(["path", "task_id", "seed"], observed=True)["rank"].transform("max") > 0
    frame = frame[(frame["rank"] > 0) | ~worked].drop(columns="rank")
    return best_of(frame, ["path", "task_id", "seed", "dtype"], ["created"])


def without_moved(checkpoints: pd.DataFrame, moves: pd.DataFrame) -> pd.DataFrame:
    """Return the checkpoints without those whose file was renamed after they were analysed: `moves` says when."""
    if moves.empty or checkpoints.empty:
        return checkpoints
    moved = checkpoints["path"].astype(object).map(dict(zip(moves["path"], moves["created"], strict=True)))
    return checkpoints[~(moved > checkpoints["created"]).to_numpy(dtype=bool)]


def _estimates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row of each (key, quantity, component) and sharpness asked: one that did not fail, else the newest.

    Rows of another sharpness stay beside each other, as either may be what a later request asks for.
    """
    good = frame.assign(good=frame["status"] != "failed")
    return best_of(good, KEYS["estimates"], ["good", "created"]).drop(columns="good")


def _newest(table: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: best_of(frame, KEYS[table], ["created"])


UNIQUE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "checkpoints": _checkpoints,
    "estimates": _estimates,
    "arrays": _newest("arrays"),
    "tasks": lambda frame: frame.drop_duplicates(KEYS["tasks"], keep="last"),
    "provenance": lambda frame: frame.drop_duplicates(KEYS["provenance"], keep="last"),
    "files": _newest("files"),
    "runs": _newest("runs"),
    "moves": _newest("moves"),
    "quantities": lambda frame: frame.drop_duplicates(KEYS["quantities"], keep="last"),
}
