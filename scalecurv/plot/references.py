"""Heights that numbers are compared with: lines that the user gives, the upper bounds on the rank, T² - F beside K."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from scalecurv.errors import Misuse
from scalecurv.plot.drawing import Panel
from scalecurv.plot.expressions import Numbers, ends, numbers
from scalecurv.plot.labels import formula
from scalecurv.plot.selection import Selection
from scalecurv.plot.style import COMPANION, GREY, Dash
from scalecurv.quantities import QUANTITIES

FAR = 3.0  # a height of more than this times the largest value is named in the legend, and not drawn
WHOLE = frozenset(quantity.name for quantity in QUANTITIES if quantity.integer)


@dataclass(frozen=True)
class Reference:
    """A horizontal line: its height, its name, its dashes."""

    height: float
    label: str
    dash: Dash


def given_lines(lines: Sequence[float] | Mapping[float, str], wanted: Sequence[Numbers]) -> list[Reference]:
    """Return the lines that the user asked for; raises Misuse where they would lie in panels of several quantities."""
    named = dict(lines) if isinstance(lines, Mapping) else dict.fromkeys(lines, "")
    if named and len(wanted) > 1:
        raise Misuse(f"lines have a height in one quantity, and {len(wanted)} are drawn; name one quantity")
    if not all(np.isfinite(float(height)) for height in named):
        raise Misuse(f"lines are {list(named)}; their heights must be finite numbers")
    return [Reference(float(height), formula(label), "--") for height, label in named.items()]


def ceilings(selection: Selection, found: Numbers) -> list[Reference]:
    """Return the upper bounds on the rank: the rows of J, and the architecture's ceiling."""
    if found.name != "rank":
        return []
    bounds: list[tuple[str, int, Dash]] = []
    rows, tasks = selection.rows, selection.tasks
    if len(tasks) and "task_id" in rows:
        there = tasks.loc[rows["task_id"].dropna().unique()]
        outputs = sorted({int(n) for n in there["num_data"] * there["num_outputs"] if n > 0})
        bounds += [("samples x outputs", count, (0, (5, 2))) for count in outputs]
    if "rank_ceiling" in rows:
        ceiling = sorted({int(n) for n in rows["rank_ceiling"].dropna()})
        bounds += [("parameters - hidden neurons", count, (0, (1, 1.5))) for count in ceiling]
    top = FAR * float(np.nanmax(found.value))
    return [
        Reference(float(count), f"{words}: {count:,}{'' if count <= top else ' (above)'}", dash)
        for words, count, dash in bounds[:6]
    ]


def companion_of(selection: Selection, found: Numbers) -> Numbers | None:
    """Return T² - F beside K, which tells the curvature from what the gradient leaves of it; else None."""
    if found.name != "scalar_curvature" or "t2_minus_f" not in selection.rows:
        return None
    if not np.isfinite(ends(selection.rows, "t2_minus_f")[0]).any():
        return None
    return numbers(selection, "t2_minus_f")


def draw_references(
    panels: Sequence[Panel], bounds: Sequence[Reference], companion: Numbers | None
) -> list[tuple[str, Any]]:
    """Draw the horizontal lines in each panel; return the entries of the legend on them, and on the companion."""
    entries: list[tuple[str, Any]] = []
    if companion is not None:
        thin: dict[str, Any] = {"color": GREY, "linestyle": COMPANION, "linewidth": 0.9}
        entries.append((f"{companion.axis}, beside $K$", Line2D([], [], **thin)))
    for bound in bounds:
        style: dict[str, Any] = {"color": GREY, "linestyle": bound.dash, "linewidth": 1.0}
        for panel in panels:
            if panel.low <= bound.height <= panel.high:
                panel.axes.axhline(bound.height, zorder=1.5, **style)
        if bound.label:
            entries.append((bound.label, Line2D([], [], **style)))
    return entries
