"""The runs of a report at a glance: counts, tasks, and the last numbers of each run with their intervals."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from scalecurv.plot.attributes import natural
from scalecurv.plot.selection import Selection, attributes_in, run_names
from scalecurv.report.numbers import ways_of, whole_numbers
from scalecurv.results.summary import COLUMNS, estimate_of
from scalecurv.statistics.estimate import Status


@dataclass(frozen=True)
class Number:
    """A number as a cell shows it: its text with the interval, its status, and the method behind it."""

    text: str
    status: str
    method: str


@dataclass(frozen=True)
class Run:
    """A run, analysed in one way: its counts and its last numbers by name."""

    name: str
    path: str
    attributes: dict[str, str]
    counts: dict[str, int]
    steps: str
    last: str
    numbers: dict[str, Number]
    chains: dict[str, int]


def runs_of(selection: Selection) -> list[Run]:
    """Return each run, once for each task, dtype and seed that it was analysed by."""
    rows, numbers = selection.rows, whole_numbers(selection)
    numbers = numbers[numbers["quantity"].isin(COLUMNS)]
    names, attributes = run_names(rows["run"].unique()), attributes_in(rows)
    ways = ways_of(selection)
    apart = list(ways)[1:]
    worked = rows[rows["status"] != "failed"]
    found = []
    for key, of_run in rows.groupby([ways[name] for name in ways], sort=False, observed=True):
        there = worked.index.intersection(of_run.index)
        last = int(there[-1]) if len(there) else None
        beside = [f"{name} {value}" for name, value in zip(apart, key[1:], strict=True)]
        found.append(
            Run(
                name=", ".join([names[str(key[0])], *beside]),
                path=str(key[0]),
                attributes={name: _text(of_run[name].iloc[0]) for name in attributes},
                counts={str(status): int(count) for status, count in of_run["status"].value_counts().items()},
                steps=_range(of_run["step"]),
                last=_name_of(rows.loc[last]) if last is not None else "",
                numbers=_numbers(numbers[numbers["row"] == last]) if last is not None else {},
                chains={str(verdict): int(count) for verdict, count in of_run["chain_status"].value_counts().items()},
            )
        )
    return sorted(found, key=lambda run: natural(run.name))


def columns_of(runs: list[Run]) -> list[str]:
    """Return the names of the numbers that some run has, in the order of `scalecurv show`."""
    return [name for name in COLUMNS if any(name in run.numbers for run in runs)]


def times_of(estimates: pd.DataFrame) -> str:
    """Return the days on which the numbers were computed, in UTC: the first and the last."""
    times = estimates["created"].dropna()
    if times.empty:
        return ""
    first, last = (datetime.fromtimestamp(float(time), UTC).strftime("%Y-%m-%d") for time in (times.min(), times.max()))
    return first if first == last else f"{first} to {last}"


def _numbers(rows: pd.DataFrame) -> dict[str, Number]:
    return {
        str(row.quantity): Number(str(estimate_of(row)), str(row.status), str(row.method))
        for row in rows.itertuples()
        if row.status != Status.NOT_APPLICABLE
    }


def _range(steps: pd.Series) -> str:
    known = steps.dropna()
    if known.empty:
        return "unknown"
    first, last = int(known.min()), int(known.max())
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _name_of(row: pd.Series) -> str:
    return str(row["checkpoint"]).rpartition("/")[2] if pd.isna(row["step"]) else f"step {int(row['step']):,}"


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
