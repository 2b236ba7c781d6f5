"""One quantity against another, a point for each checkpoint, with both intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.lines import Line2D

from scalecurv.errors import Misuse
from scalecurv.plot.attributes import LINE, attribute, in_order, is_numeric
from scalecurv.plot.axes import checked_scale, limits, tidy_ticks, value_scale
from scalecurv.plot.canvas import contains, figure_of, new_figure, remark, shown
from scalecurv.plot.expressions import Numbers, numbers
from scalecurv.plot.labels import formula, plain, shortened, value_text
from scalecurv.plot.panels import Options, explain_panels
from scalecurv.plot.selection import place, select
from scalecurv.plot.style import GREY, MARKERS, palette, sequential, styled


def against(
    source: Any,
    x: str = "rank",
    y: str = "scalar_curvature",
    *,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    color: str = "step",
    xscale: str = "auto",
    yscale: str = "auto",
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: Any = None,
) -> Axes:
    """Draw one quantity against another, a point for each checkpoint, with the intervals of both as bars.

    `source` is a Store, or a frame of its table `results`. `x` and `y` are quantities or SQL expressions over
    `results`. `color` is an attribute or an expression: numbers are shades with a colour bar, others have colours of
    the cycle. A thin line joins the checkpoints of a run in the order of their steps, and up to five runs have markers
    of their own. A bar without a cap goes on beyond the picture: that end is infinite. Raises Misuse where no
    checkpoint has both numbers.

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> frame = pd.DataFrame({"run": "a", "step": [0, 9], "rank": [3, 5], "scalar_curvature": [1.5, 8.0]})
        >>> sc.plot.against(frame).collections[0].get_offsets().tolist()
        [[3.0, 1.5], [5.0, 8.0]]
    """
    checked_scale(xscale, "x"), checked_scale(yscale, "y")
    selection = select(source, where, run)
    across, up = numbers(selection, x), numbers(selection, y)
    both = np.isfinite(across.value) & np.isfinite(up.value)
    if not both.any():
        raise Misuse(f"no checkpoint of {place(source)} has both {x!r} and {y!r}; `scalecurv show` lists what is there")
    options = Options(ax, title, size, font_size, style_sheet)
    with styled(style_sheet, font_size):
        axes = ax if ax is not None else new_figure(size or (5.4, 3.8)).subplots()
        figure = figure_of(axes)
        shades = attribute(selection, color)
        colors, bar, handles = _colors(shades, color)
        lines = attribute(selection, LINE).to_numpy()
        order = list(dict.fromkeys(lines))
        steps = selection.rows.get("step")
        marked = 1 < len(order) <= len(MARKERS)
        for i, line in enumerate(order):
            there = np.flatnonzero((lines == line) & both)
            if steps is not None and len(there) > 1:
                there = there[np.argsort(steps.iloc[there].to_numpy(dtype=float, na_value=np.inf), kind="stable")]
                axes.plot(across.value[there], up.value[there], color=GREY, linewidth=0.6, alpha=0.6, zorder=1)
            marker = MARKERS[i] if marked else MARKERS[0]
            looks: dict[str, Any] = {"c": colors[there], "edgecolors": "white", "linewidths": 0.4, "zorder": 3}
            axes.scatter(across.value[there], up.value[there], s=30, marker=marker, **looks)
            if marked:
                words = plain(shortened(line))
                handles.append(Line2D([], [], marker=marker, color="#444444", linestyle="none", label=words))
        for which, found, kind in (("x", across, xscale), ("y", up, yscale)):
            scale = value_scale(found.value[both], found.lower[both], found.upper[both], kind)
            scale.set_on(axes, which)
            ends = limits(scale, found.value[both], found.lower[both], found.upper[both])
            getattr(axes, f"set_{which}lim")(*ends)
            tidy_ticks(axes, scale, which)
            getattr(axes, f"set_{which}label")(found.axis)
        _bars(axes, across, up, both, colors)
        if bar is not None:
            drawn = figure.colorbar(bar, ax=axes, pad=0.02, aspect=25)
            drawn.set_label("training step" if color == "step" else plain(color))
            drawn.outline.set_visible(False)
            drawn.ax.minorticks_off()
        if title is not None:
            axes.set_title(formula(title))
        explain_panels(figure, [axes], handles, options)
        contains(figure, 1, selection.rows[both])
        if (missing := int((~both).sum())) > 0:
            remark(figure, f"{missing} checkpoint{'s' if missing > 1 else ''} left out: without {x} or without {y}")
        for found in (across, up):
            if found.note:
                remark(figure, found.note)
        return shown(axes)


def _colors(values: Any, name: str) -> tuple[np.ndarray, ScalarMappable | None, list[Any]]:
    """Return the colour of each row, with a bar for numbers or the entries of a legend for others."""
    order = in_order(values)
    known = [value for value in order if value is not None]
    if is_numeric(values) and (name == "step" or len(known) > len(palette())):
        numeric = values.to_numpy(dtype=float, na_value=np.nan)
        low, high = float(np.nanmin(numeric)), float(np.nanmax(numeric))
        positive = numeric[numeric > 0]
        geometric = low >= 0 and len(positive) and high >= 30 * float(positive.min()) and low < high
        norm = SymLogNorm(float(positive.min()), vmin=low, vmax=high) if geometric else Normalize(low, high or 1.0)
        shades = sequential()(norm(np.ma.masked_invalid(numeric)))
        return np.asarray(shades), ScalarMappable(norm, sequential()), []
    cycle = palette()
    if len(known) > len(cycle):
        raise Misuse(
            f"{name} has {len(known)} values that are no numbers, and there are {len(cycle)} colours; use where="
        )
    given = {value: cycle[i] for i, value in enumerate(known)}
    colors = np.array([given.get(value, GREY) for value in values.to_list()], dtype=object)
    entries = [
        Line2D([], [], marker="o", color=given[v], linestyle="none", label=plain(f"{name} = {value_text(v)}"))
        for v in known
    ]
    return colors, None, entries


def _bars(axes: Axes, across: Numbers, up: Numbers, both: np.ndarray, colors: np.ndarray) -> None:
    """Draw the intervals; an infinite end is drawn to the edge of the axes, without a cap."""
    for which, found, other in (("x", across, up), ("y", up, across)):
        low, high = getattr(axes, f"get_{which}lim")()
        there = np.flatnonzero(both & ~np.isnan(found.lower) & ~np.isnan(found.upper) & (found.lower < found.upper))
        if len(there):
            lower, upper = np.maximum(found.lower[there], low), np.minimum(found.upper[there], high)
            draw = axes.hlines if which == "x" else axes.vlines
            draw(other.value[there], lower, upper, colors=list(colors[there]), linewidth=1.0, zorder=2)
