"""A store in a notebook: the table of its facts, and its main quantities over steps as small drawings."""

import math
from typing import TYPE_CHECKING

import pandas as pd

from scalecurv.display import html_table
from scalecurv.sketch import Point, panel

if TYPE_CHECKING:
    from scalecurv.results.tables import StoredTables

DRAWN = ("loss", "trace", "lambda_max", "scalar_curvature", "rank")
MOST = 500  # checkpoints that are drawn; of longer stores every k-th
MOST_RUNS = 12


def face(store: "StoredTables", facts: dict[str, str]) -> str:
    """Return a store as HTML: its facts, and a drawing for each of DRAWN that some checkpoint with a step has.

    Each run is a line. Of stores of more than MOST checkpoints every k-th of a run is drawn, of more than MOST_RUNS
    runs the first ones; the table then says so.
    """
    rows = store.results(all_columns=True)
    rows = rows[rows["step"].notna() & (rows["status"] != "failed")]
    runs = rows["run"].unique()
    shown = rows[rows["run"].isin(runs[:MOST_RUNS])]
    every = math.ceil(len(shown) / MOST)
    lines = [line.iloc[::every] for _, line in shown.groupby(["run", "task_id", "dtype", "seed"], sort=False)]
    if len(runs) > MOST_RUNS or every > 1:
        thinned = f"1 of {every} checkpoints of " if every > 1 else ""
        facts = {**facts, "drawn": f"{thinned}{min(len(runs), MOST_RUNS)} of {len(runs)} runs"}
    panels = [panel(name, [_points(line, name) for line in lines]) for name in DRAWN]
    drawn = "".join(f"<div>{one}</div>" for one in panels if one)
    style = "display:flex;flex-wrap:wrap;gap:4px 12px"
    return html_table("Store", facts.items()) + (f'<div style="{style}">{drawn}</div>' if drawn else "")


def _points(rows: pd.DataFrame, name: str) -> list[Point]:
    """Return the points of one line; a number without an interval, or with open ends, has the ends that it has."""
    columns = [rows[column].astype(float) for column in ("step", name, f"{name}_lower", f"{name}_upper")]
    columns[2], columns[3] = columns[2].fillna(-math.inf), columns[3].fillna(math.inf)
    return list(zip(*columns, strict=True))
