"""The facts beside the numbers: tasks, machines and settings, failures with reasons, and costs."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from scalecurv.plot.selection import Selection
from scalecurv.results.query import Store
from scalecurv.store.meanings import meaning_of
from scalecurv.store.schema import ANALYSED

MOST_FAILURES = 200  # lines of one list; the table of checkpoints has all
INNER = {  # the columns of JSON, with the words for each name in them
    "versions": "version of a library, or a setting of the arithmetic",
    "config": "option that says how to compute",
}


@dataclass(frozen=True)
class Sheet:
    """Names and values of one task, machine or request, with the words that define each name."""

    title: str
    lines: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Failure:
    """A checkpoint, or a number of one, that failed or is not to be believed, and the reason."""

    where: str
    what: str
    reason: str


@dataclass(frozen=True)
class Cost:
    """The products and seconds that one measure took over all checkpoints of a report."""

    measure: str
    contents: int
    products: int
    seconds: float

    @property
    def mean(self) -> float:
        """Seconds of one content, on average."""
        return self.seconds / self.contents if self.contents else 0.0


def estimates_of(store: Store, selection: Selection) -> pd.DataFrame:
    """Return the rows of the table `estimates` of the selected checkpoints."""
    contents = selection.rows[ANALYSED].drop_duplicates()
    return store.estimates().merge(contents, on=ANALYSED, how="inner")


def tasks_of(store: Store, selection: Selection) -> list[Sheet]:
    """Return what was analysed: data, loss and model of each task."""
    tasks = store.table("tasks")
    tasks = tasks[tasks["task_id"].isin(selection.rows["task_id"].unique())]
    return [Sheet(f"task {row['task_id']}", _lines("tasks", row, ("task_id",))) for row in tasks.to_dict("records")]


def provenance_of(store: Store, estimates: pd.DataFrame) -> list[Sheet]:
    """Return the machines, versions and options that the numbers were computed with."""
    rows = store.table("provenance")
    counts = estimates["provenance_id"].value_counts()
    sheets = []
    for row in rows[rows["provenance_id"].isin(counts.index)].to_dict("records"):
        flat = {name: value for name, value in row.items() if name not in ("versions", "config", "provenance_id")}
        lines = list(_lines("provenance", flat, ()))
        for name, words in INNER.items():
            lines += [(label, value, words) for label, value in _flat(_json(row[name])).items()]
        title = f"{row['host'] or 'a machine'}, {counts[row['provenance_id']]:,} numbers"
        sheets.append(Sheet(title, tuple(lines)))
    return sheets


def failures_of(store: Store, selection: Selection) -> tuple[list[Failure], int]:
    """Return the first failures, and how many there are: checkpoints, numbers that failed or disagree, broken files."""
    rows = selection.rows
    failed = rows[rows["status"] == "failed"]
    found = [Failure(str(row.checkpoint), "checkpoint", str(row.error)) for row in failed.itertuples()]
    kept = set(rows["checkpoint"])
    long = selection.long
    wrong = long[long["status"].isin(("failed", "inconsistent")) & long["checkpoint"].isin(kept)]
    found += [
        Failure(
            str(row.checkpoint),
            " ".join([str(row.quantity), str(row.component)]).strip(),
            f"{row.status}: {row.method}",
        )
        for row in wrong.itertuples()
    ]
    found += [Failure(str(path), "file of the store", reason) for path, reason in store.broken.items()]
    return found[:MOST_FAILURES], len(found)


def costs_of(estimates: pd.DataFrame) -> list[Cost]:
    """Return products and seconds of each measure. A product that several measures share counts for each of them."""
    asked = estimates.drop_duplicates(["key", "rtol", "max_matvecs", "memory"])
    products = estimates.groupby(["key", "rtol", "max_matvecs", "memory"], observed=True)["num_matvecs"].max()
    measures = asked.set_index(["key", "rtol", "max_matvecs", "memory"]).assign(products=products)
    found = []
    for name, rows in measures.groupby(measures["measure"].astype(str), sort=True):
        contents = len(rows[ANALYSED].drop_duplicates())
        found.append(Cost(str(name), contents, int(rows["products"].sum()), float(rows["seconds"].sum())))
    return sorted(found, key=lambda cost: -cost.seconds)


def arrays_alone(store: Store, selection: Selection, costs: list[Cost]) -> dict[str, int]:
    """Return the measures that store arrays and no numbers, with their contents: only numbers come with a cost."""
    contents = selection.rows[ANALYSED].drop_duplicates()
    arrays = store.table("arrays")[[*ANALYSED, "measure"]].drop_duplicates().merge(contents, on=ANALYSED, how="inner")
    counts = arrays["measure"].astype(str).value_counts().sort_index()
    return {str(name): int(count) for name, count in counts.items() if name not in {cost.measure for cost in costs}}


def _lines(table: str, row: dict[str, Any], left_out: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (name, str(value), meaning_of(table, name))
        for name, value in row.items()
        if name not in left_out and str(value) != ""
    )


def _json(text: str) -> Any:
    """Return what a text of JSON holds; one that is not JSON stays as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(value: Any, before: str = "") -> dict[str, str]:
    """Return the leaves of nested objects by their path, such as measures.rank.rtol."""
    if not isinstance(value, dict):
        return {before: "none" if value is None else str(value)} if value != "" else {}
    found: dict[str, str] = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{before}.{name}" if before else str(name))
    return found
