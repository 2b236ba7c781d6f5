"""The runs of a store: their checkpoints in the order of training, and the course of each quantity along them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from scalecurv.results.summary import estimate_of
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.schema import ANALYSED, NO_STEP
from scalecurv.watch.tail import Seen

APART = ("task_id", "dtype", "seed")  # analyses of a run that are courses of their own


@dataclass(frozen=True)
class Course:
    """A quantity along a run: its value at each checkpoint (NaN where there is none), and its last estimate.

    `step` is that of the last estimate, None where it has none.
    """

    values: tuple[float, ...]
    last: Estimate
    step: int | None


@dataclass(frozen=True)
class Run:
    """A run in one analysis: its checkpoints by status, its last step, when its newest row was made, its courses."""

    name: str
    counts: Mapping[str, int]
    step: int | None
    created: float
    courses: Mapping[str, Course] = field(default_factory=dict)


def runs_of(seen: Seen, quantities: Sequence[str]) -> list[Run]:
    """Return the runs of a store, the one that was written to last first."""
    rows = seen.checkpoints
    if rows.empty:
        return []
    apart = [name for name in APART if rows.loc[rows["status"] != "failed", name].nunique() > 1]
    names = _names(rows["run"].unique().tolist())
    numbers = {
        (row.fingerprint, row.task_id, row.dtype, row.seed, row.quantity): row
        for row in seen.estimates.itertuples(index=False)
    }
    runs = []
    for identity, own in rows.groupby(["run", *apart], sort=True, dropna=False):
        facts = zip(apart, identity[1:], strict=True)
        words = [names[identity[0]], *(f"{name} {value}" for name, value in facts if value != "")]  # "": it failed
        runs.append(_run(", ".join(words), own, numbers, quantities))
    return sorted(runs, key=lambda run: run.created, reverse=True)


def _run(name: str, rows: pd.DataFrame, numbers: Mapping[Any, Any], quantities: Sequence[str]) -> Run:
    ordered = rows.sort_values(["step", "created"], kind="stable")
    steps = [None if step == NO_STEP else int(step) for step in ordered["step"]]
    identities = list(ordered[ANALYSED].itertuples(index=False, name=None))
    courses = {}
    for quantity in quantities:
        found = [numbers.get((*identity, quantity)) for identity in identities]
        there = [at for at, row in enumerate(found) if row is not None and row.status != Status.NOT_APPLICABLE]
        if there:
            values = tuple(math.nan if row is None else row.value for row in found)
            courses[quantity] = Course(values, estimate_of(found[there[-1]]), steps[there[-1]])
    known = [step for step in steps if step is not None]
    counts = ordered["status"].value_counts().to_dict()
    return Run(name, counts, max(known, default=None), float(ordered["created"].max()), courses)


def _names(runs: Sequence[str]) -> dict[str, str]:
    """Return each run's folder name, and the path where two runs share one.

    Example:
        >>> _names(["/a/x", "/a/y", "/b/y"])
        {'/a/x': 'x', '/a/y': '/a/y', '/b/y': '/b/y'}
    """
    last = [Path(run).name for run in runs]
    return {run: name if name and last.count(name) == 1 else run for run, name in zip(runs, last, strict=True)}
