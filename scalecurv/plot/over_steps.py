"""Quantities along training: a line for each run, an interval for each number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scalecurv.errors import Misuse
from scalecurv.plot.attributes import attribute, in_order, same
from scalecurv.plot.axes import Limits, Scale, checked_scale, limits, narrowed, step_scale, tidy_ticks, value_scale
from scalecurv.plot.canvas import contains, figure_of, remark, shown
from scalecurv.plot.drawing import FEW_POINTS, INTERVALS, Panel, notes
from scalecurv.plot.encoding import Encoding, encode
from scalecurv.plot.expressions import Numbers, numbers
from scalecurv.plot.grids import panel_grid, write_words
from scalecurv.plot.legends import explain, explain_beside, room
from scalecurv.plot.points import with_steps
from scalecurv.plot.references import FAR, WHOLE, ceilings, companion_of, draw_references, given_lines
from scalecurv.plot.selection import Selection, place, select
from scalecurv.plot.style import styled

QUANTITIES = ("loss", "trace", "lambda_max", "scalar_curvature", "rank")
MOST_PANELS = 30
MANY = 16  # lines: thinner, without markers


def trajectories(
    source: Any,
    quantities: str | Sequence[str] | None = None,
    *,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    x: str = "step",
    by: str | None = None,
    color: str | None = None,
    style: str | None = None,
    intervals: str = "auto",
    xscale: str = "auto",
    yscale: str = "auto",
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    lines: Sequence[float] | Mapping[float, str] = (),
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: str | PathLike[str] | None = None,
) -> Any:
    r"""Draw quantities over training steps, a panel for each, a line for each run, with the interval of every number.

    `source` is a Store, or a frame of its table `results` or `long`. A quantity is a name, or a SQL expression over
    `results` such as "lambda_max * lr / 2"; "EXPRESSION as WORDS" names its axis. Without `quantities` those of
    loss, trace, lambda_max, scalar_curvature and rank are drawn that are there. K is drawn with T² - F (dashed), and
    the rank with its upper bounds.

    The interval of an expression is its range while each quantity in it moves through its own interval: it holds the
    truth where all of these do (for two intervals of 95 %, with at least 90 %). It is never too short. An infinite end,
    or one far from all values, is an arrow at the edge of the panel, and the legend counts them. Markers are hollow
    where the status is `budget` (a circle), `lower_bound` (a triangle) or `inconsistent` (a cross); what failed is a
    cross at the foot. Numbers are in the units of the store.

    `where` is a SQL condition on rows, `run` the path or name of a run, or several. `by` makes a panel for each value
    of an attribute, `color` and `style` give colours and dashes by one; each is a column of `results` or an
    expression. Without them, colours and dashes tell apart what differs between the runs. An attribute with more than
    six numbers is shown in shades, with a colour bar.
    `intervals` is "band", "bars", "none", or "auto": bars where the points are few. Scales are "linear", "log",
    "symlog", or "auto": logarithmic where values span decades, or steps are spaced geometrically. `lines` are heights
    of horizontal lines, as a mapping with their names. `size` is in inches, `font_size` in points, `style_sheet` a
    style of Matplotlib that goes before ours.

    Return the Axes of one panel; of several, an array: one for each quantity, for each value of `by`, or of shape
    (quantities, values of `by`). Into `ax`, one panel alone is drawn. Raises Misuse for what is not there.

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> frame = pd.DataFrame({"run": "a", "step": [0, 10], "trace": [3.0, 5.0]})
        >>> frame = frame.assign(trace_lower=frame["trace"] - 1, trace_upper=frame["trace"] + 1)
        >>> panel = sc.plot.trajectories(frame, "trace / 2")
        >>> panel.lines[0].get_xydata().tolist()
        [[0.0, 1.5], [10.0, 2.5]]
    """
    if intervals not in INTERVALS:
        raise Misuse(f"intervals is {intervals!r}; choose from {', '.join(INTERVALS)}")
    checked_scale(xscale, "x"), checked_scale(yscale, "y")
    chosen = with_steps(select(source, where, run), x)
    wanted = _wanted(chosen, [quantities] if isinstance(quantities, str) else quantities)
    facets = None if by is None else attribute(chosen, by)
    values = [None] if facets is None else in_order(facets)
    count = len(wanted) * len(values)
    if count > MOST_PANELS:
        raise Misuse(f"{count} panels are too many: {by!r} has {len(values)} values; choose by where=, or use color=")
    if ax is not None and count > 1:
        raise Misuse(f"ax is one Axes, and {count} panels are to be drawn; name one quantity, and leave out by=")
    references = given_lines(lines, wanted)
    with styled(style_sheet, font_size):
        grid = panel_grid(ax, len(wanted), len(values), size)
        figure = figure_of(grid[0, 0])
        encoding = encode(chosen, color, style, room(figure), by)
        horizontal = chosen.rows[x].to_numpy(dtype=float, na_value=np.nan)
        along = step_scale(horizontal, xscale)
        panels: list[Panel] = []
        entries: list[Any] = [*encoding.entries]
        for i, found in enumerate(wanted):
            beside = companion_of(chosen, found)
            if beside is not None:
                wanted[i] = replace(found, title=f"{found.title}, and {beside.axis} (thin, dashed)")
            bounds = [*references, *ceilings(chosen, found)]
            row = Row(found, beside, [bound.height for bound in bounds], value_scale(*_ends(found, beside), yscale))
            made = row.panels(grid[i], encoding, horizontal, intervals, ylim)
            for panel, value in zip(made, values, strict=True):
                there = np.ones(len(chosen.rows), dtype=bool) if facets is None else same(facets, value)
                row.draw(panel, encoding, horizontal, there)
            panels += made
            entries += draw_references(made, bounds, beside)
            for axes in grid[i]:
                tidy_ticks(axes, row.scale, "y", found.name in WHOLE)
            grid[i, 0].set_ylabel(found.axis)
            if found.note:
                remark(figure, found.note)
        for axes in grid.flat:
            along.set_on(axes, "x")
            tidy_ticks(axes, along, "x", integer=x == "step")
            if len(np.unique(horizontal)) == 1:
                axes.set_xticks(horizontal[:1])
            first, last = limits(along, horizontal, horizontal * np.nan, horizontal * np.nan)
            low = max(first, -0.9 * along.threshold) if along.kind == "symlog" else first  # no tick below 0
            axes.set_xlim(*narrowed((low, last), xlim, "x"))
        write_words(grid, wanted, values, by, x, title)
        entries += notes(panels, frozenset().union(*(found.confidences for found in wanted)))
        if ax is None:
            explain(figure, list(grid.flat), entries, encoding.bar)
            figure.align_ylabels()
        else:
            explain_beside(ax, entries, encoding.bar)
    encoding.tell(figure)
    contains(figure, count, chosen.rows)
    for reason, number in chosen.left_out.items():
        remark(figure, f"{number} {reason} left out")
    return _returned(grid, len(wanted), len(values), ax)


@dataclass(frozen=True)
class Row:
    """A quantity over all facets, which share its scale: its numbers, and those of its companion."""

    found: Numbers
    beside: Numbers | None
    heights: Sequence[float]
    scale: Scale

    def panels(
        self, row: Sequence[Axes], encoding: Encoding, x: np.ndarray, intervals: str, ylim: Limits | None
    ) -> list[Panel]:
        """Return a panel for each Axes of the row, with the same limits."""
        value, lower, upper = _ends(self.found, self.beside)
        finite = np.abs(value[np.isfinite(value)])
        near = [height for height in self.heights if abs(height) <= FAR * max(finite.max(initial=0), 1e-300)]
        low, high = narrowed(limits(self.scale, value, lower, upper, near), ylim, "y")
        points = len(encoding.lines) and max(len(line.rows) for line in encoding.lines) * len(encoding.lines)
        mode = intervals if intervals != "auto" else "bars" if points <= FEW_POINTS * len(row) else "band"
        for axes in row:
            if axes.has_data():  # an Axes of the user's, whose content stays in sight
                before = axes.get_ylim()
                low, high = min(low, *before), max(high, *before)
            self.scale.set_on(axes, "y")
            axes.set_ylim(low, high)
        return [Panel(axes, low, high, mode, len(encoding.lines) > MANY) for axes in row]

    def draw(self, panel: Panel, encoding: Encoding, x: np.ndarray, there: np.ndarray) -> None:
        """Draw every line of the rows that are `there`."""
        for line in encoding.lines:
            rows = line.rows[there[line.rows]]
            for part in (self.beside, self.found):
                if part is not None and len(rows):
                    failed = part.status[rows] == "failed"
                    ends = part.value[rows], part.lower[rows], part.upper[rows]
                    panel.line(x[rows], ends, part.status[rows], failed, line.look, part is self.beside)


def _ends(found: Numbers, beside: Numbers | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all values of a panel, with their ends."""
    parts = [found] if beside is None else [found, beside]
    value, lower, upper = (
        np.concatenate([getattr(part, end) for part in parts]) for end in ("value", "lower", "upper")
    )
    return value, lower, upper


def _wanted(chosen: Selection, quantities: Sequence[str] | None) -> list[Numbers]:
    """Return the numbers of each quantity; of the usual ones those that are there. Raises Misuse without any."""
    if quantities is not None and not quantities:
        raise Misuse("quantities are (); name one or more, such as 'trace'")
    if quantities is not None:
        return [numbers(chosen, name) for name in quantities]
    there = [name for name in QUANTITIES if name in chosen.rows and chosen.rows[name].notna().any()]
    if not there:
        whole = f"{place(chosen.source)} holds no {', '.join(QUANTITIES)} of a whole model to draw"
        raise Misuse(f"{whole}; blocks rest in estimates")
    return [numbers(chosen, name) for name in there]


def _returned(grid: np.ndarray, rows: int, columns: int, ax: Axes | None) -> Any:
    """Return one Axes, a row or a column of them, or all."""
    if ax is not None:
        return ax
    return shown(grid if rows > 1 and columns > 1 else grid.ravel()[: rows * columns])
