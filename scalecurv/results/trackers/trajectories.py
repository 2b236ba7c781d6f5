"""The numbers of each run over its steps, as trackers take them."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from scalecurv.display import printable
from scalecurv.errors import Misuse
from scalecurv.plot.selection import attributes_in, run_names
from scalecurv.record import digest
from scalecurv.results.query import Store
from scalecurv.results.vocabulary import in_results

GROUP = "curvature"  # what the names of all numbers begin with, so that trackers show them together
ENDS = ("", "_lower", "_upper")  # each number, and the ends of its interval
LONGEST = 255  # bytes of the name of a folder
LINE = ["run", "task_id", "dtype", "seed"]  # what tells two lines apart


@dataclass(frozen=True)
class Point:
    """The finite numbers of one checkpoint by name, and the time in seconds at which they were computed."""

    step: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class Trajectory:
    """The points of one run, task, dtype and seed by rising step; `identity` stays when the same store is read again.

    `name` is the end of the run's path, and what else tells it from other trajectories. `attributes` are those of the
    run, and `facts` what the numbers were computed from.
    """

    identity: str
    name: str
    attributes: dict[str, bool | int | float | str]
    facts: dict[str, str]
    points: list[Point]


@dataclass(frozen=True)
class Exported:
    """Counts of what was written, the checkpoints that were left out by reason, and runs that were written anew."""

    runs: int
    checkpoints: int
    values: int
    left_out: dict[str, int]
    replaced: int = 0

    def __str__(self) -> str:
        return f"{self.runs:,} run(s), {self.checkpoints:,} checkpoint(s), {self.values:,} value(s)"


def counted(found: list[Trajectory], left_out: dict[str, int], replaced: int = 0) -> Exported:
    """Return the counts of all trajectories."""
    points = [point for one in found for point in one.points]
    return Exported(len(found), len(points), sum(len(point.values) for point in points), left_out, replaced)


def trajectories(store: Store) -> tuple[list[Trajectory], dict[str, int]]:
    """Return the trajectories of a store, and how many checkpoints are none of their points, by reason.

    Those are failed ones, those without a step, and all but the first of several that a run has at one step. Raises
    Misuse where no checkpoint is left.
    """
    every = store.results()
    reasons = pd.Series("", index=every.index)
    reasons[every["step"].isna()] = "without a step"
    reasons[every["status"] == "failed"] = "failed"
    good = every[reasons == ""]
    reasons[good.index[good.duplicated([*LINE, "step"])]] = "of a step that is there already"
    rows = every[reasons == ""]
    left_out = dict(Counter(reasons[reasons != ""]))
    if rows.empty:
        raise Misuse(f"{store.path} holds no checkpoint with a step to export; see `scalecurv show {store.path}`")
    columns = [f"{q.name}{end}" for q in in_results(store.quantities) for end in ENDS if q.name in rows]
    columns = [name for name in columns if name in rows]
    times, facts = _times(store), _Facts(store)
    apart = [name for name in LINE[1:] if rows[name].nunique() > 1]
    names = {run: folder_name(name) for run, name in run_names(rows["run"].unique()).items()}
    found: list[Trajectory] = []
    for values, line in rows.groupby(LINE, sort=False):
        labels = dict(zip(LINE, values, strict=True))
        name = "/".join([names[labels["run"]], *(f"{one}={labels[one]}" for one in apart)])
        points = [_point(row, columns, times) for row in line.sort_values("step").to_dict("records")]
        held = {one: line[one].iloc[0] for one in attributes_in(every) if pd.notna(line[one].iloc[0])}
        attributes = {printable(one, ""): _plain(value) for one, value in held.items()}
        identity = digest([*map(str, values)])[:32]
        name = f"{name}-{identity[:6]}" if any(name == one.name for one in found) else name
        found.append(Trajectory(identity, name, attributes, facts.of(line, labels), points))
    return found, left_out


def folder_name(name: str) -> str:
    """Return the name of a run as the path of a folder below another: no part of it leads out of that or is too long.

    Example:
        >>> folder_name("/runs/../a"), folder_name("lr0.1/seed0"), folder_name("x" * 300)[-10:]
        ('runs/_/a', 'lr0.1/seed0', 'x-d2492384')
    """
    parts = [printable(part, "") for part in PurePath(name).parts if part.strip("/")]
    parts = [part if len(part.encode()) <= LONGEST else f"{part[:40]}-{digest(part)[:8]}" for part in parts]
    return "/".join("_" if part == ".." else part for part in parts) or "_"


def _point(row: dict[Any, Any], columns: list[str], times: dict[tuple[Any, ...], float]) -> Point:
    numbers = {name: float(row[name]) for name in columns if pd.notna(row[name])}
    values = {f"{GROUP}/{name}": number for name, number in numbers.items() if math.isfinite(number)}
    return Point(int(row["step"]), times[(row["checkpoint"], *(row[name] for name in LINE[1:]))], values)


def _times(store: Store) -> dict[tuple[Any, ...], float]:
    """Return when each checkpoint was analysed, in seconds since 1970."""
    rows = store.table("checkpoints")
    keys = rows[["path", *LINE[1:]]].itertuples(index=False, name=None)
    return dict(zip(keys, rows["created"].tolist(), strict=True))


def _plain(value: Any) -> Any:
    """Return a number as one of Python, and a text without what no tracker stores, such as a byte that is no letter."""
    if isinstance(value, str):
        return printable(value)
    return value.item() if hasattr(value, "item") else value


class _Facts:
    """The task and the provenance of each trajectory, as texts."""

    def __init__(self, store: Store):
        self._path = str(store.path.absolute())
        self._tasks = store.table("tasks").set_index("task_id")
        self._provenance = store.table("provenance").set_index("provenance_id")
        self._estimates = store.chosen()[["fingerprint", *LINE[1:], "provenance_id"]].drop_duplicates()

    def of(self, line: pd.DataFrame, labels: dict[str, Any]) -> dict[str, str]:
        rows = self._estimates[self._estimates["fingerprint"].isin(line["fingerprint"])]
        for name in LINE[1:]:
            rows = rows[rows[name] == labels[name]]
        ids = [one for one in rows["provenance_id"].unique() if one in self._provenance.index]
        machines = self._provenance.loc[ids, ["versions", "device", "host", "git"]]
        of_task = ("data_path", "loss", "reduction", "model", "activation", "num_data")
        task = self._tasks.loc[labels["task_id"]] if labels["task_id"] in self._tasks.index else {}
        facts = {
            "store": self._path,
            **{name: str(value) for name, value in labels.items()},
            **{name: str(task[name]) for name in of_task if name in task},
            **{name: "; ".join(sorted(set(map(str, column)))) for name, column in machines.items()},
        }
        return {name: printable(text) for name, text in facts.items() if text}
