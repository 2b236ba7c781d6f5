"""The spectral densities of checkpoints, and their numbers by layer, packed for a page."""

from typing import Any

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.plot.selection import Selection
from scalecurv.report.numbers import whole_numbers
from scalecurv.report.packing import Blobs
from scalecurv.results.density import density
from scalecurv.results.query import Store

MOST_DENSITIES = 240  # curves of one page; of more checkpoints those that lie evenly are drawn
MOST_COLUMNS = 400  # checkpoints across one heat map
POINTS = 400  # of one density


def evenly(count: int, most: int) -> np.ndarray:
    """Return at most `most` numbers below `count` that lie evenly, the first and the last among them.

    Example:
        >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
        ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def packed_densities(store: Store, selection: Selection, blobs: Blobs) -> dict[str, Any]:
    """Return the spectral density of the checkpoints that have one, as `density` smooths it, and how many there are.

    All seeds of a checkpoint are merged. A rule that resolves no width is left out, and counted by its reason.
    """
    arrays = store.table("arrays")
    there = arrays.loc[arrays["measure"] == "spectrum", ["fingerprint", "task_id", "dtype"]].drop_duplicates()
    rows = selection.rows.reset_index(names="row").merge(there, on=["fingerprint", "task_id", "dtype"], how="inner")
    rows = rows.drop_duplicates(["checkpoint", "fingerprint", "task_id", "dtype"]).sort_values("row")
    curves, left_out = [], {}
    for i in evenly(len(rows), MOST_DENSITIES) if len(rows) else []:
        one = rows.iloc[i]
        rule = store.spectrum(str(one["fingerprint"]), task_id=str(one["task_id"]), dtype=str(one["dtype"]))
        try:
            curve = density(rule, points=POINTS)
        except Misuse as error:
            left_out[str(one["checkpoint"])] = str(error)
            continue
        numbers = {"grid": blobs.floats(curve.grid), "values": blobs.floats(curve.values)}
        facts = {"starts": rule.num_starts, "nodes": rule.num_nodes, "exact": rule.exact, "width": curve.width}
        lower, upper = curve.interval()
        ends = {"lower": blobs.floats(lower), "upper": blobs.floats(upper), "truncation": float(curve.truncation)}
        curves.append({"row": int(one["row"]), **numbers, **ends, **facts})
    return {"count": len(rows), "curves": curves, "left_out": left_out}


def packed_layers(selection: Selection, blobs: Blobs) -> list[dict[str, Any]]:
    """Return each quantity that has components, with a grid of them over the checkpoints of each run that are drawn."""
    parts = whole_numbers(selection, component=True)
    parts = parts[parts["value"].notna()]
    found = []
    for name, rows in parts.groupby("quantity", observed=True, sort=False):
        components = list(dict.fromkeys(rows["component"].astype(str)))
        drawn = _drawn(selection, np.unique(rows["row"]))
        shown = rows[rows["row"].isin(drawn)]
        at = (pd.Index(components).get_indexer(shown["component"].astype(str)), np.searchsorted(drawn, shown["row"]))
        grids = {}
        for column in ("value", "lower", "upper"):
            grid = np.full((len(components), len(drawn)), np.nan)
            grid[at] = shown[column].to_numpy(dtype=np.float64)
            grids[column] = blobs.floats(grid.ravel())
        statuses = np.full((len(components), len(drawn)), "", dtype=object)
        statuses[at] = shown["status"].astype(str).to_numpy(dtype=object)
        found.append(
            {"name": str(name), "components": components, "rows": blobs.integers(drawn), **grids}
            | {"status": blobs.words(statuses.ravel().tolist()), "count": int(rows["row"].nunique())}
        )
    return found


def _drawn(selection: Selection, rows: np.ndarray) -> np.ndarray:
    """Return the rows that are drawn: of each run those that lie evenly."""
    runs = selection.rows["run"].to_numpy()[rows]
    kept = [of_run[evenly(len(of_run), MOST_COLUMNS)] for run in pd.unique(runs) for of_run in [rows[runs == run]]]
    return np.sort(np.concatenate(kept))
