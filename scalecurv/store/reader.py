"""All that a store holds, whoever is writing to it meanwhile."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.store.image import BrokenFile, Tables, decode, empty_tables
from scalecurv.store.schema import TABLES
from scalecurv.store.writer import PARTS

INDEX = "store.h5"
_RANK = {"ok": 2, "partial": 1, "failed": 0}


@dataclass(frozen=True)
class Contents:
    """The tables with every repetition removed, and the files that could not be read, with the reason."""

    tables: Tables
    broken: dict[Path, str]

    @property
    def keys(self) -> frozenset[str]:
        """The keys that need not be computed again: none of their estimates failed."""
        estimates, arrays = self.tables["estimates"], self.tables["arrays"]
        failed = set(estimates.loc[estimates["status"] == "failed", "key"])
        return frozenset(set(estimates["key"]) | set(arrays["key"])) - failed


def read_store(store: Path) -> Contents:
    """Read every part, then the index: that order misses nothing while parts are merged into the index.

    Raises Misuse where `store` is no directory.
    """
    if not store.is_dir():
        raise Misuse(f"{store} is no store; give the directory that `scalecurv analyze` wrote to")
    check_store(store)
    found: list[Tables] = []
    broken: dict[Path, str] = {}
    for path in [*sorted((store / PARTS).glob("*.h5")), store / INDEX]:
        try:
            found.append(decode(path))
        except FileNotFoundError:  # merged away since it was listed, or no index yet
            continue
        except BrokenFile as error:
            broken[path] = str(error)
    merged = {name: _concatenated([t[name] for t in found], name) for name in TABLES}
    return Contents({name: _unique(name, frame) for name, frame in merged.items()}, broken)


def check_store(store: Path) -> None:
    """Raise Misuse for a directory that holds something, but no store: it may be anything of the user's."""
    if any(store.iterdir()) and not (store / PARTS).is_dir() and not (store / INDEX).exists():
        raise Misuse(f"{store} holds files but no store; give the store's own directory, or a new one")


def set_aside(path: Path) -> Path:
    """Rename a broken file out of the readers' sight: nothing is deleted, its keys become work again."""
    for i in range(1000):
        target = path.with_name(f"{path.name}.{i}.broken" if i else f"{path.name}.broken")
        if not target.exists():
            path.rename(target)
            return target
    raise Misuse(f"{path.parent} holds a thousand broken files of one name; look at the disk under it")


def _concatenated(frames: list[pd.DataFrame], name: str) -> pd.DataFrame:
    full = [frame for frame in frames if len(frame)]
    return pd.concat(full, ignore_index=True) if full else empty_tables()[name]


def _unique(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    return _UNIQUE[name](frame).reset_index(drop=True)


def _newest(frame: pd.DataFrame, identity: list[str]) -> pd.DataFrame:
    return frame.sort_values("created", kind="stable").drop_duplicates(identity, keep="last")


def _unique_estimates(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each (key, quantity, component) the newest that did not fail."""
    ordered = frame.assign(good=frame["status"] != "failed").sort_values(["good", "created"], kind="stable")
    return ordered.drop_duplicates(["key", "quantity", "component"], keep="last").drop(columns="good")


def _unique_checkpoints(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each (path, task, seed, dtype) the newest that worked; a failure only where nothing did.

    `total_matvecs` adds up over the runs that the same content was analysed in.
    """
    if frame.empty:
        return frame
    frame = frame.drop_duplicates(["path", "fingerprint", "task_id", "seed", "dtype", "created"])
    content = ["path", "fingerprint", "task_id", "seed", "dtype"]
    frame = frame.assign(
        total_matvecs=frame.groupby(content)["total_matvecs"].transform("sum"),
        rank=frame["status"].map(_RANK).astype(np.int64),
    )
    worked = frame.groupby(["path", "task_id", "seed"])["rank"].transform("max") > 0
    frame = frame[(frame["rank"] > 0) | ~worked].drop(columns="rank")
    return _newest(frame, ["path", "task_id", "seed", "dtype"])


_UNIQUE = {
    "checkpoints": _unique_checkpoints,
    "estimates": _unique_estimates,
    "arrays": lambda frame: _newest(frame, ["key", "name"]),
    "tasks": lambda frame: frame.drop_duplicates("task_id", keep="last"),
    "provenance": lambda frame: frame.drop_duplicates("provenance_id", keep="last"),
    "files": lambda frame: _newest(frame, ["path", "size", "mtime_ns", "inode"]),
}
