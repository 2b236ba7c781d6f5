"""Runs compared: one number of each, with its interval, where training has come equally far."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from scalecurv.plot.attributes import LINE, attribute, in_order, same, telling_apart
from scalecurv.plot.axes import Limits, checked_scale, limits, narrowed, tidy_ticks, value_scale
from scalecurv.plot.canvas import contains, figure_of, new_figure, remark, shown
from scalecurv.plot.drawing import Panel, notes
from scalecurv.plot.encoding import Encoding, Look, encode
from scalecurv.plot.expressions import Numbers, numbers
from scalecurv.plot.labels import formula, plain, shortened, value_text
from scalecurv.plot.legends import POINT, explain, explain_beside, room
from scalecurv.plot.points import LAST, chosen_rows
from scalecurv.plot.references import draw_references, given_lines
from scalecurv.plot.selection import Selection, identity, select
from scalecurv.plot.style import GREY, palette, styled

SPREAD = 0.5  # of the distance between two groups, that their points fill


def compare(
    source: Any,
    quantity: str = "trace",
    *,
    at: int | str = LAST,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    by: str | None = None,
    color: str | None = None,
    yscale: str = "auto",
    ylim: Limits | None = None,
    lines: Any = (),
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: str | PathLike[str] | None = None,
) -> Axes:
    r"""Draw one number of each run with its interval, grouped by an attribute, and the mean of each group of several.

    `quantity` and the other options are as in `trajectories`. `at` says where the runs are compared: "last" at the last
    step that all of them have; "equal loss" at the checkpoint of each whose loss is nearest to the smallest that all
    reach; a number at this step. `by` is the attribute on the x axis; without it, it is what differs between the runs,
    and the seeds of training are points beside each other. The mean (a grey dash) is that of the values of a group; it
    has no interval, for the points differ by their seeds and not by the probes. A group of several tasks or dtypes has
    none.

    All checkpoints of one --seed share their random probes: the *differences* between runs are sharper than their
    intervals, as far as the runs are alike, and all values share one error. Another --seed tells how large it is.

    Raises Misuse where no step is common, or the loss is not stored.

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> frame = pd.DataFrame({"run": ["a", "a", "b"], "step": [0, 10, 10], "lr": [0.1, 0.1, 0.2]})
        >>> panel = sc.plot.compare(frame.assign(trace=[1.0, 2.0, 3.0]), "trace", by="lr")
        >>> [label.get_text() for label in panel.get_xticklabels()]
        ['0.1', '0.2']
    """
    checked_scale(yscale, "y")
    everything = select(source, where, run)
    chosen, place_words = chosen_rows(everything, at)
    found = numbers(chosen, quantity)
    grouped = by if by is not None else _grouping(chosen)
    groups = attribute(chosen, grouped)
    values = in_order(groups)
    bounds = given_lines(lines, [found])
    with styled(style_sheet, font_size):
        figure = figure_of(ax) if ax is not None else new_figure(size or (min(2.5 + 0.7 * len(values), 13.0), 3.6))
        axes = figure.subplots() if ax is None else ax
        encoding = encode(chosen, color, None, room(figure)) if color is not None else None
        scale = value_scale(found.value, found.lower, found.upper, yscale)
        scale.set_on(axes, "y")
        low, high = narrowed(
            limits(scale, found.value, found.lower, found.upper, [b.height for b in bounds]), ylim, "y"
        )
        axes.set_ylim(low, high)
        panel = Panel(axes, low, high, "bars")
        means = _points(panel, found, groups, values, encoding, _tasks(chosen))
        names = [shortened(value_text(value), 20) for value in values]
        axes.set_xticks(range(len(values)), [plain(name) for name in names])
        inches = float(figure.get_size_inches()[0]) * 0.8 / len(values)
        if max(map(len, names)) * 0.6 * float(rcParams["font.size"]) * POINT > inches:
            axes.tick_params("x", rotation=40)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("" if grouped in ("run", LINE) else plain(grouped))
        axes.set_ylabel(found.axis)
        axes.set_title(formula(title) if title is not None else f"{found.title}, {place_words}".removeprefix(", "))
        tidy_ticks(axes, scale, "y")
        entries: list[Any] = [] if encoding is None else [*encoding.entries]
        entries += draw_references([panel], bounds, None) + notes([panel], found.confidences)
        if means:
            entries.append(("mean of the points", Line2D([], [], color=GREY, linewidth=2)))
        bar = None if encoding is None else encoding.bar
        if ax is None:
            explain(figure, [axes], entries, bar)
        else:
            explain_beside(ax, entries, bar)
    contains(figure, 1, chosen.rows)
    if (absent := int((~np.isfinite(found.value)).sum())) > 0:
        remark(figure, f"{absent} run(s) without {quantity} at {place_words} left out")
    for reason, number in chosen.left_out.items():
        remark(figure, f"{number} {reason} left out")
    if found.note:
        remark(figure, found.note)
    shown(axes)
    return axes


def _grouping(selection: Selection) -> str:
    """Return the attribute that tells the runs apart, seeds aside; else a name for each line."""
    rows = selection.rows
    keys = identity(rows)
    lines = rows.groupby(keys, dropna=False, sort=False).ngroup().to_numpy() if keys else np.zeros(len(rows), dtype=int)
    return telling_apart(selection, lines)[0] or ("run" if "run" in rows else LINE)


def _tasks(selection: Selection) -> np.ndarray:
    """Return the number of the task and dtype of each row: numbers of two of them have no mean."""
    keys = [name for name in ("task_id", "dtype") if name in selection.rows]
    rows = selection.rows
    return rows.groupby(keys, dropna=False).ngroup().to_numpy() if keys else np.zeros(len(rows), dtype=int)


def _points(
    panel: Panel,
    found: Numbers,
    groups: pd.Series,
    values: Sequence[Any],
    encoding: Encoding | None,
    tasks: np.ndarray,
) -> bool:
    """Draw the points of each group beside each other, and the mean of several; return True where one was drawn."""
    looks = {int(row): line.look for line in encoding.lines for row in line.rows} if encoding is not None else {}
    plain_look = Look(palette()[0])
    means = False
    for i, value in enumerate(values):
        rows = np.flatnonzero(same(groups, value) & np.isfinite(found.value))
        places = i + (np.linspace(-SPREAD / 2, SPREAD / 2, len(rows)) if len(rows) > 1 else np.zeros(len(rows)))
        for row, x in zip(rows, places, strict=True):
            one = slice(row, row + 1)
            ends = found.value[one], found.lower[one], found.upper[one]
            unfailed = np.zeros(1, dtype=bool)
            panel.line(np.array([x]), ends, found.status[one], unfailed, looks.get(int(row), plain_look))
        if len(rows) > 1 and len(set(tasks[rows])) == 1:
            means = True
            panel.axes.hlines(found.value[rows].mean(), i - 0.38, i + 0.38, color=GREY, linewidth=2, zorder=1.8)
    return means
