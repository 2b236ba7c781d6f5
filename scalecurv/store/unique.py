"""Which of several rows of one thing stands: the rule of each table, the same in any order and any number of times."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from scalecurv.store.frames import best_of

_RANK = {"ok": 2, "partial": 1, "failed": 0}
_RUN = ["path", "fingerprint", "task_id", "seed", "dtype", "created"]  # what tells one run over one file from another


def distinct_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Each run over each checkpoint once: what an index must keep, so that products still add up after a merge."""
    return frame.drop_duplicates(_RUN)


def _checkpoints(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each (path, task, seed, dtype) the newest that worked; a failure only where nothing did.

    `total_matvecs` adds up over the runs that the same content was analysed in.
    """
    if frame.empty:
        return frame
    frame = distinct_runs(frame)
    frame = frame.assign(
        total_matvecs=frame.groupby(_RUN[:-1], observed=True)["total_matvecs"].transform("sum"),
        rank=frame["status"].astype(object).map(lambda status: _RANK.get(status, 0)).astype(np.int64),
    )
    worked = frame.groupby(["path", "task_id", "seed"], observed=True)["rank"].transform("max") > 0
    frame = frame[(frame["rank"] > 0) | ~worked].drop(columns="rank")
    return best_of(frame, ["path", "task_id", "seed", "dtype"], ["created"])


def _estimates(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each (key, quantity, component) the newest that did not fail."""
    good = frame.assign(good=frame["status"] != "failed")
    return best_of(good, ["key", "quantity", "component"], ["good", "created"]).drop(columns="good")


UNIQUE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "checkpoints": _checkpoints,
    "estimates": _estimates,
    "arrays": lambda frame: best_of(frame, ["key", "name"], ["created"]),
    "tasks": lambda frame: frame.drop_duplicates("task_id", keep="last"),
    "provenance": lambda frame: frame.drop_duplicates("provenance_id", keep="last"),
    "files": lambda frame: best_of(frame, ["path", "size", "mtime_ns", "inode"], ["created"]),
}
