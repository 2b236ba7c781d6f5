"""The numbers of a report: for each checkpoint its labels, and each quantity with interval, status, method and cost."""

from typing import Any

import numpy as np
import pandas as pd

from scalecurv.plot.attributes import natural
from scalecurv.plot.selection import Selection, attributes_in, run_names
from scalecurv.quantities import BESIDE
from scalecurv.report.packing import Blobs
from scalecurv.results.query import Store
from scalecurv.results.vocabulary import in_results
from scalecurv.store.schema import ANALYSED

IDENTITY = ["checkpoint", *ANALYSED]  # a row of `results`, and of `long` with quantity and component
TEXTS = ("checkpoint", "run", "fingerprint", "task_id", "dtype", "status", "chain_status", "error")
COUNTS = ("step", "epoch", "num_params", "seed", "total_matvecs")
EXACT = 2**53  # whole numbers up to here are float64, as all numbers of a page
_BESIDE = ("confidence", "num_samples", "num_matvecs")  # of a number, in `long` alone


def packed_rows(selection: Selection, blobs: Blobs) -> dict[str, Any]:
    """Return the labels and facts of each checkpoint: texts, numbers and attributes of runs, one column each."""
    rows = selection.rows
    texts = {name: blobs.words(rows[name].tolist()) for name in TEXTS}
    counts = {name: _packed(rows[name], blobs) for name in COUNTS}
    attributes = {name: _packed(rows[name], blobs) for name in attributes_in(rows)}
    return {"count": len(rows), "texts": texts, "counts": counts, "attributes": attributes}


def ways_of(selection: Selection) -> pd.DataFrame:
    """Return the run of each row, and the task, dtype and seed where these tell analyses of one run apart.

    A checkpoint that failed was analysed in no way: it goes with the first of its run.
    """
    rows = selection.rows
    worked = rows["status"] != "failed"
    apart = [name for name in ANALYSED[1:] if rows.loc[worked, name].nunique() > 1]
    known = rows[["run", *apart]].mask(~worked).assign(run=rows["run"])
    first = rows[worked].drop_duplicates("run").set_index("run")[apart]
    for name in apart:
        known[name] = known[name].where(worked, rows["run"].map(first[name])).fillna("")
    return known


def packed_series(selection: Selection, blobs: Blobs) -> dict[str, Any]:
    """Return the lines of the pictures: each run, once for each task, dtype and seed that it was analysed by."""
    rows, ways = selection.rows, ways_of(selection)
    apart = list(ways)[1:]
    grouped = rows.groupby([ways[name] for name in ways], sort=False, dropna=False, observed=True)
    names = run_names(rows["run"].unique())
    labels = []
    for row in rows.index[~ways.duplicated()]:
        beside = [f"{name} {ways.at[row, name]}" for name in apart]
        run = str(rows.at[row, "run"])
        labels.append({"label": ", ".join([names[run], *beside]), "run": run, "first": int(row)})
    order = sorted(range(len(labels)), key=lambda i: natural(labels[i]["label"]))
    return {"labels": [labels[i] for i in order], "codes": blobs.integers(np.argsort(order)[grouped.ngroup()])}


def packed_quantities(store: Store, selection: Selection, blobs: Blobs) -> list[dict[str, Any]]:
    """Return each quantity that some checkpoint has, with its words, and its columns as `results` and `long` hold them.

    A quantity that applies nowhere is among them, for its methods say why.
    """
    rows = selection.rows
    whole = whole_numbers(selection)
    known = {quantity.name: quantity for quantity in in_results(store.quantities)}
    found = []
    for name, part in whole.groupby("quantity", observed=True, sort=False):
        if name not in known or name not in rows:
            continue
        quantity, there = known[name], np.asarray(part["row"])
        columns = {"value": name, **{ending.removeprefix("_"): name + ending for ending in BESIDE}}
        parts = {label: _floats(rows[column]) for label, column in columns.items()}
        for end, open_end in (("lower", -np.inf), ("upper", np.inf)):  # whole numbers have null for it
            parts[end] = np.where(np.isnan(parts[end]) & ~np.isnan(parts["value"]), open_end, parts[end])
        numbers = {label: blobs.floats(part) for label, part in parts.items()}
        beside = {label: blobs.floats(_placed(len(rows), there, part[label])) for label in _BESIDE}
        words = {label: blobs.words(_placed_words(len(rows), there, part[label])) for label in ("status", "method")}
        facts = {"name": name, "meaning": quantity.meaning, "unit": quantity.unit, "measure": quantity.measure}
        empty = bool(rows[name].isna().all())
        found.append({**facts, "integer": quantity.integer, "empty": empty, **numbers, **beside, **words})
    order = {name: i for i, name in enumerate(known)}
    return sorted(found, key=lambda one: order[one["name"]])


def whole_numbers(selection: Selection, component: bool = False) -> pd.DataFrame:
    """Return the rows of `long` of the selected checkpoints, with the number `row` of their row in `results`.

    They are those of the whole model, or with `component` those of its layers and other parts.
    """
    long = selection.long
    long = long[(long["component"] != "") == component]
    index = pd.MultiIndex.from_frame(selection.rows[IDENTITY].astype(object))
    place = index.get_indexer(pd.MultiIndex.from_frame(long[IDENTITY].astype(object)))
    return long.assign(row=place)[place >= 0]


def _packed(column: pd.Series, blobs: Blobs) -> dict[str, Any]:
    """Return a column as numbers, or as texts: so are whole numbers that float64 cannot hold, such as some seeds."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return blobs.words(column.tolist())
    if pd.api.types.is_integer_dtype(column) and (column.dropna().map(lambda one: abs(int(one))) > EXACT).any():
        return blobs.words(column.tolist())
    return {"numbers": blobs.floats(_floats(column))}


def _floats(column: pd.Series) -> np.ndarray:
    return column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)


def _placed(count: int, rows: np.ndarray, values: pd.Series) -> np.ndarray:
    placed = np.full(count, np.nan)
    placed[rows] = values.to_numpy(dtype=np.float64)
    return placed


def _placed_words(count: int, rows: np.ndarray, values: pd.Series) -> list[str]:
    placed = np.full(count, "", dtype=object)
    placed[rows] = values.astype(str).to_numpy(dtype=object)
    return placed.tolist()
