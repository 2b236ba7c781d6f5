"""Rows to draw: those of a store or of a frame, where a condition holds, in the order of training."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.plot.sql import condition
from scalecurv.quantities import BESIDE, COLUMNS, NAMES

ANALYSED = ("task_id", "dtype", "seed")  # what tells two analyses of one checkpoint apart
ROW = ("checkpoint", "run", "step", *ANALYSED)
STATUS = "_status"


@dataclass(frozen=True)
class Selection:
    """The rows that a picture is made of, one for each checkpoint and way of analysis, as in the table `results`.

    `left_out` counts checkpoints that are not among them, by reason. `source` is where they came from.
    """

    source: Any
    rows: pd.DataFrame
    left_out: dict[str, int] = field(default_factory=dict)

    @cached_property
    def long(self) -> pd.DataFrame:
        """The rows of the table `long` of a store, else none: there alone each number has its status."""
        if isinstance(self.source, pd.DataFrame):
            return self.source if is_long(self.source) else pd.DataFrame()
        return self.source.table("long")

    def statuses(self, name: str) -> pd.Series:
        """Return the status of a quantity in each row, "" where it is not known."""
        if name + STATUS in self.rows:
            return self.rows[name + STATUS].fillna("").astype(str)
        if self.long.empty:
            return pd.Series("", index=self.rows.index)
        there = self.long[(self.long["quantity"] == name) & (self.long["component"] == "")]
        keys = [key for key in ROW if key in there and key in self.rows]
        found = there.drop_duplicates(keys).set_index(keys)["status"].astype(str)
        index = pd.MultiIndex.from_frame(self.rows[keys]) if len(keys) > 1 else pd.Index(self.rows[keys[0]])
        return pd.Series(found.reindex(index).fillna("").to_numpy(), index=self.rows.index)

    def confidences(self, name: str) -> frozenset[float]:
        """Return the levels of the intervals of a quantity that have a length; none where they are not known."""
        if self.long.empty or "confidence" not in self.long:
            return frozenset()
        there = self.long[(self.long["quantity"] == name) & (self.long["component"] == "")]
        return frozenset(there.loc[there["upper"] > there["lower"], "confidence"].astype(float))

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """The tasks of a store by task_id; of a frame, none."""
        if isinstance(self.source, pd.DataFrame):
            return pd.DataFrame()
        return self.source.table("tasks").set_index("task_id")

    def where(self, kept: pd.Series) -> "Selection":
        """Return the rows for which `kept` is True."""
        return Selection(self.source, self.rows[kept], self.left_out)


def select(source: Any, where: str | None = None, run: str | Sequence[str] | None = None) -> Selection:
    """Return the rows of `results`, of a store or a frame, that meet the SQL condition `where` and belong to `run`.

    A frame may be that of `results` or of `long`. `run` is the path or the name of a run, or several. Raises Misuse
    where the condition does not run, the run is not there, or no row is left.
    """
    rows = _frame(source)
    if run is not None:
        rows = _of_runs(rows, [run] if isinstance(run, str) else list(run))
    if where is not None:
        rows = rows[condition(rows, where)]
    if rows.empty:
        if where is not None:
            raise Misuse(f"no checkpoint meets {where!r}; {look_at(source)} shows what is there")
        raise Misuse(f"{place(source)} holds no checkpoint with a step to draw over; see {look_at(source)}")
    return Selection(source, rows.reset_index(drop=True))


def is_long(frame: pd.DataFrame) -> bool:
    """Return True for a frame with a row for each number, as the table `long` has them."""
    return {"quantity", "value"} <= set(frame.columns)


def _frame(source: Any) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return _wide(source) if is_long(source) else source
    if not hasattr(source, "results"):
        raise Misuse(f"a picture is made of a Store or of a frame of its table results; {type(source).__name__} came")
    return source.results(all_columns=True)


def _wide(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each checkpoint of a frame of `long`: four columns and the status of each quantity."""
    if "component" in frame:
        frame = frame[frame["component"] == ""]
    beside = {"value": "", **{name.removeprefix("_"): name for name in (*BESIDE, STATUS)}}
    facts = {"measure", "method", "num_samples", "num_matvecs", "confidence", "component", "quantity", *beside}
    labels = [name for name in frame if name not in facts]
    numbered = frame.assign(_row=frame.groupby(labels, dropna=False, sort=False, observed=True).ngroup())
    rows = numbered.drop_duplicates("_row").set_index("_row")[labels]
    for part, ending in beside.items():
        if part in frame:
            columns = numbered.drop_duplicates(["_row", "quantity"]).pivot(
                index="_row", columns="quantity", values=part
            )
            rows = rows.join(columns.add_suffix(ending))
    return rows.reset_index(drop=True)


def quantities_in(rows: pd.DataFrame) -> list[str]:
    """Return the names of the quantities that a frame holds, in its order: those known, and those with intervals."""
    own = {name.removesuffix("_lower") for name in rows if str(name).endswith("_lower")}
    own -= {name for name in own if name.endswith(BESIDE)}
    return [name for name in rows if name in own or name in NAMES]


def attributes_in(rows: pd.DataFrame) -> list[str]:
    """Return the columns that describe runs, such as lr: neither a fact of a checkpoint nor a quantity."""
    quantities = quantities_in(rows)
    beside = {name + ending for name in quantities for ending in ("", *BESIDE, STATUS)}
    return [name for name in rows if name not in beside and name not in COLUMNS]


def identity(rows: pd.DataFrame) -> list[str]:
    """Return the columns by which one line is told from another: run, task, dtype and seed, as far as they are there.

    A frame without runs, such as that of a query, has its attributes instead.
    """
    there = [name for name in ("run", *ANALYSED) if name in rows]
    return there if "run" in rows else [*attributes_in(rows), *there]


def run_names(runs: Iterable[Any]) -> dict[str, str]:
    """Return a short name for each run: the end of its path by which it differs from the others.

    Example:
        >>> run_names(["/a/x/seed0", "/a/y/seed0", "/b/plain"])
        {'/a/x/seed0': 'x/seed0', '/a/y/seed0': 'y/seed0', '/b/plain': 'plain'}
    """
    paths = list(dict.fromkeys(str(run) for run in runs))
    parts = {path: PurePath(path).parts or (path,) for path in paths}
    names: dict[str, str] = {}
    length = 1
    while len(names) < len(paths):
        ends = {path: "/".join(parts[path][-length:]) for path in paths if path not in names}
        taken = [*ends.values(), *("/".join(parts[path][-length:]) for path in names)]
        longest = length >= max(len(parts[path]) for path in ends)
        names |= {path: path if longest else end for path, end in ends.items() if longest or taken.count(end) == 1}
        length += 1
    return {path: names[path] for path in paths}


def _of_runs(rows: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    if "run" not in rows:
        raise Misuse(f"run is {wanted[0]!r}, and the frame has no column run to choose by; give where= instead")
    names = run_names(rows["run"].unique())
    ends = {path: {path, name, PurePath(path).name} for path, name in names.items()}
    for one in wanted:
        if not any(one in known for known in ends.values()):
            near = difflib.get_close_matches(one, names.values(), 3, 0.4) or list(names.values())[:5]
            raise Misuse(f"no run is called {one!r}; there are {len(names)}, such as {', '.join(near)}")
    return rows[rows["run"].astype(str).map(lambda path: bool(ends[path] & set(wanted)))]


def place(source: Any) -> str:
    """Return the words that name a source: the path of a store, else "the frame"."""
    return str(getattr(source, "path", "the frame"))


def look_at(source: Any) -> str:
    """Return the words of an advice to look at a source: a command, for a store."""
    path = getattr(source, "path", None)
    return f"`scalecurv show {path}`" if path is not None else "the frame itself"
