"""Frames of `results` made by hand, and what was drawn of them as plain numbers."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection


def frame(steps: list[Any], run: str = "/runs/a", **columns: Any) -> pd.DataFrame:
    """Return rows of a run at these steps; a column (value, lower, upper) is a quantity with its interval."""
    rows = pd.DataFrame({"checkpoint": [f"{run}/{step}.pt" for step in steps], "run": run, "step": steps})
    rows = rows.assign(task_id="t", dtype="float32", seed=0, status="ok")
    for name, column in columns.items():
        if isinstance(column, tuple):
            for ending, part in zip(("", "_lower", "_upper"), column, strict=True):
                rows[name + ending] = part
        else:
            rows[name] = column
    return rows


def boxed(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    """Return rows with lambda_max of either sign, a positive trace, and lr, with intervals of random lengths."""
    rng = np.random.default_rng(seed)
    center, positive = rng.uniform(-3, 8, rows), rng.uniform(1, 8, rows)
    below, above = rng.uniform(0, 0.9, (2, rows))
    return frame(
        list(range(rows)),
        lambda_max=(center, center - 2 * above, center + below),
        trace=(positive, positive - below, positive + 2 * above),
        lr=rng.uniform(0.1, 1, rows),
    )


def study(seeds: int = 2, rates: tuple[float, ...] = (0.05, 0.1, 0.2)) -> pd.DataFrame:
    """Return runs of several learning rates and seeds, whose lambda_max is known at each step."""
    parts = []
    for rate in rates:
        for seed in range(seeds):
            value = np.array([5.0, 10.0, 2 / rate]) + seed
            one = frame([0, 100, 200], f"/runs/lr{rate}_seed{seed}", lambda_max=(value, value - 1, value + 2))
            parts.append(one.assign(lr=rate, run_seed=seed, loss=[2.0, 1.0, 0.5 * (1 + rate)]))
    return pd.concat(parts, ignore_index=True)


def lines_of(axes: Axes) -> list[list[tuple[float, float]]]:
    """Return the points of each line that joins points, in the order of drawing."""
    lines = [line for line in axes.lines if line.get_linestyle() not in ("None", "none", "") and len(line.get_xdata())]
    return [[(float(x), float(y)) for x, y in line.get_xydata()] for line in lines]


def bars_of(axes: Axes) -> list[tuple[float, float, float]]:
    """Return step, lower and upper end of every bar."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            found += [(float(a[0]), float(a[1]), float(b[1])) for a, b in collection.get_segments()]
    return found


def bands_of(axes: Axes) -> list[dict[float, tuple[float, float]]]:
    """Return the ends of every band by step."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            corners = np.concatenate([path.vertices for path in collection.get_paths()])
            steps = np.unique(corners[:, 0])
            spans = {float(x): corners[corners[:, 0] == x, 1] for x in steps}
            found.append({x: (float(y.min()), float(y.max())) for x, y in spans.items()})
    return found


def marks_of(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Return the points of all markers of a kind that are not joined."""
    lines = [line for line in axes.lines if line.get_marker() == marker and line.get_linestyle() in ("None", "none")]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def words_of(axes: Axes) -> list[str]:
    """Return the texts of the legend of its figure."""
    return [text.get_text() for legend in axes.figure.legends for text in legend.get_texts()]
