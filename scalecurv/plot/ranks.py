"""Pictures of the rank of J: the account of all parameters, and how much of the rank a finite precision shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalecurv.errors import Misuse
from scalecurv.plot.axes import Scale, step_scale, tidy_ticks
from scalecurv.plot.expressions import ends
from scalecurv.plot.panels import (
    Options,
    Series,
    explain_panels,
    label_outer,
    outcome,
    panels_for,
    say,
    series_of,
    step_columns,
)
from scalecurv.plot.selection import place
from scalecurv.plot.style import BAND_ALPHA, DASHES, GREY, LOWER_BOUND, PALETTE

# column: its words, colour and hatch; they add up to P, from the bottom of the picture
PARTS: dict[str, tuple[str, str, str]] = {
    "rank": ("rank of J", PALETTE[0], ""),
    "account_unexplained": ("unexplained", PALETTE[1], "xxx"),
    "account_data_limited": ("data-limited", PALETTE[5], "..."),
    "account_rescaling": ("rescaling", PALETTE[2], "///"),
    "account_dead": ("dead", "#C9C9C9", ""),
}
COUNTS: dict[str, tuple[str, str, str]] = {  # column: its words, colour and marker; the dashes are those of DASHES
    "rank": ("rank of J", PALETTE[0], "o"),
    "rank_1e6": (r"$\sigma > 10^{-6}\,\sigma_1$", PALETTE[2], "s"),
    "rank_1e3": (r"$\sigma > 10^{-3}\,\sigma_1$", PALETTE[1], "D"),
    "rank_1e2": (r"$\sigma > 10^{-2}\,\sigma_1$", PALETTE[7], "P"),
}
COMMAND = "`scalecurv analyze CHECKPOINTS STORE --measure rank` computes"


def account(
    source: Any,
    *,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: Any = None,
) -> Any:
    """Draw P = rank + unexplained + data-limited + rescaling + dead as a stack for each checkpoint of a run.

    `source` is a Store, or a frame of its table `results`. Checkpoints whose parts are unknown, or do not add up to P,
    are left out and counted. A dashed line shows `rank_ceiling`, P - hidden neurons; bars are the interval of the rank.
    Returns the Axes, or an array with one for each run. Raises Misuse where no checkpoint has an account. (Grigsby,
    Lindsey and Rolnick 2023)

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> parts = {"account_dead": [2], "account_rescaling": [1], "account_data_limited": [0]}
        >>> frame = pd.DataFrame({"run": ["a"], "step": [0], "num_params": [10], "rank": [6], **parts})
        >>> axes = sc.plot.account(frame.assign(account_unexplained=1))
        >>> len(axes.patches)  # the parts of P
        5
    """
    options = Options(ax, title, size, font_size, style_sheet)
    series, left_out = _whole_accounts(source, series_of(source, where, run))
    with panels_for(series, options) as (figure, axes):
        for one, axis in zip(series, axes, strict=True):
            _stack(axis, one)
            step_columns(axis.xaxis, one.steps)
        label_outer(axes, "training step (not to scale)", "parameters")
        handles: list[Any] = [
            Patch(facecolor=color, hatch=hatch, edgecolor="white", label=words)
            for words, color, hatch in reversed(PARTS.values())
        ]
        if any(line.get_gid() == "ceiling" for axis in axes for line in axis.get_lines()):
            handles.append(Line2D([], [], color="black", linestyle="--", label="ceiling"))
        if any(axis.collections for axis in axes):
            handles.append(Line2D([], [], color="black", marker="_", linestyle="-", label="interval of the rank"))
        explain_panels(figure, axes, handles, options)
        say(figure, left_out)
        return outcome(axes)


def _whole_accounts(source: Any, series: list[Series]) -> tuple[list[Series], dict[str, int]]:
    kept, unknown, uneven = [], 0, 0
    for one in series:
        rows = one.rows
        there = rows[[name for name in (*PARTS, "num_params") if name in rows]]
        if there.shape[1] < len(PARTS) + 1:
            unknown += len(rows)
            continue
        numbers = there.apply(pd.to_numeric).to_numpy(dtype=float, na_value=np.nan)
        known = ~np.isnan(numbers).any(axis=1)
        equal = numbers[:, :-1].sum(axis=1) == numbers[:, -1]
        unknown, uneven = unknown + int((~known).sum()), uneven + int((known & ~equal).sum())
        if (known & equal).any():
            selection = one.selection.where(pd.Series(known & equal, index=rows.index))
            kept.append(Series(one.label, type(selection)(source, selection.rows.reset_index(drop=True))))
    if not kept:
        raise Misuse(
            f"{place(source)} holds no whole account of the parameters, only ReLU MLPs have one; {COMMAND} it"
            if not uneven
            else f"the account adds up to num_params at no checkpoint of {place(source)}; is it of a part of the model?"
        )
    return kept, {"parts of the account are not known": unknown, "its parts do not add up to P": uneven}


def _stack(axis: Axes, series: Series) -> None:
    rows = series.rows
    edges, base = np.arange(len(rows) + 1) - 0.5, np.zeros(len(rows))
    for name, (words, color, hatch) in PARTS.items():
        top = base + rows[name].to_numpy(dtype=float)
        looks: dict[str, Any] = {
            "facecolor": color,
            "hatch": hatch,
            "edgecolor": "white",
            "linewidth": 0.0,
            "label": words,
        }
        axis.stairs(top, edges, baseline=base, fill=True, **looks)
        base = top
    _, lower, upper = ends(rows, "rank")
    unsure = np.isfinite(lower) & np.isfinite(upper) & (upper > lower)
    if unsure.any():
        axis.vlines(np.flatnonzero(unsure), lower[unsure], upper[unsure], color="black", linewidth=1.2)
    if "rank_ceiling" in rows and rows["rank_ceiling"].notna().any():
        ceiling = rows["rank_ceiling"].to_numpy(dtype=float, na_value=np.nan)
        both = np.repeat(ceiling, 2), np.repeat(edges, 2)[1:-1]
        axis.plot(both[1], both[0], color="black", linestyle="--", linewidth=1.0, gid="ceiling")
    axis.set_xlim(edges[0], edges[-1])
    axis.set_ylim(0, float(base.max()) * 1.02)
    axis.grid(False, axis="x")


def rank_profile(
    source: Any,
    *,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: Any = None,
) -> Any:
    """Draw over the steps of each run how many singular values of J exceed 0, 1e-6, 1e-3 and 1e-2 of the largest.

    `source` is a Store, or a frame of its table `results`, with `rank`, `rank_1e6`, `rank_1e3` or `rank_1e2`. Bands are
    intervals; a triangle marks a lower bound, above which the truth may lie. Returns the Axes, or an array with one for
    each run. Raises Misuse where none of the four is there.

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> frame = pd.DataFrame({"run": ["a", "a"], "step": [0, 9], "rank": [6, 7], "rank_1e3": [5, 3]})
        >>> [line.get_ydata().tolist() for line in sc.plot.rank_profile(frame).get_lines()]
        [[6.0, 7.0], [5.0, 3.0]]
    """
    options = Options(ax, title, size, font_size, style_sheet)
    series = series_of(source, where, run)
    drawn = [n for n in COUNTS if any(n in one.rows and one.rows[n].notna().any() for one in series)]
    if not drawn:
        raise Misuse(f"{place(source)} holds none of {', '.join(COUNTS)}; {COMMAND} them")
    with panels_for(series, options) as (figure, axes):
        handles: list[Any] = []
        bounded = False
        for one, axis in zip(series, axes, strict=True):
            handles = []
            for name in drawn:
                line, open_ended = _count(axis, one, name)
                bounded |= open_ended
                handles.append(line)
            scale = step_scale(np.array(one.steps, dtype=float))
            scale.set_on(axis, "x")
            tidy_ticks(axis, scale, "x", integer=True)
            tidy_ticks(axis, Scale("linear"), "y", integer=True)
        heights = np.concatenate([ends(one.rows, name)[0] for one in series for name in drawn if name in one.rows])
        axes[0].set_ylim(0, 1.05 * float(np.nanmax(heights)) or 1.0)
        label_outer(axes, "training step", "singular values of J")
        if bounded:
            marks: dict[str, Any] = {
                "marker": LOWER_BOUND,
                "markerfacecolor": "white",
                "color": GREY,
                "linestyle": "none",
            }
            handles = [*handles, Line2D([], [], label="lower bound", **marks)]
        explain_panels(figure, axes, handles, options)
        return outcome(axes)


def _count(axis: Axes, series: Series, name: str) -> tuple[Line2D, bool]:
    """Draw one count with its interval; return its line, and whether it is a lower bound anywhere."""
    words, color, marker = COUNTS[name]
    rows = series.rows if name in series.rows else series.rows.assign(**{name: np.nan})
    steps, (value, lower, upper) = np.array(series.steps, dtype=float), ends(rows, name)
    looks: dict[str, Any] = {"markersize": 7, "markerfacecolor": "white"} if name == "rank" else {}
    looks["linestyle"] = DASHES[list(COUNTS).index(name)]
    (line,) = axis.plot(steps, value, color=color, marker=marker, label=words, **looks)  # in sight below the others
    finite = np.isfinite(lower) & np.isfinite(upper)
    if (finite & (upper > lower)).any():
        axis.fill_between(steps, lower, upper, where=finite, color=color, alpha=BAND_ALPHA, linewidth=0)
    bound = (series.selection.statuses(name) == "lower_bound").to_numpy() & np.isfinite(value)
    if bound.any():
        marks: dict[str, Any] = {"color": color, "marker": LOWER_BOUND, "facecolor": "white", "zorder": 3, "s": 26}
        axis.scatter(steps[bound], value[bound], **marks)
    return line, bool(bound.any())
