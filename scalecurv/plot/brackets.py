"""The scalar curvature K between its bounds: the bracket over training, and the chain of bounds at one checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalecurv.errors import Misuse
from scalecurv.geometry.chain import SEPARATOR, Verdict, stored_verdict
from scalecurv.plot.axes import Scale, limits, step_scale, tidy_ticks, value_scale
from scalecurv.plot.expressions import ends
from scalecurv.plot.panels import Options, Series, explain_panels, label_outer, outcome, panels_for, series_of
from scalecurv.plot.selection import place
from scalecurv.plot.style import BAND_ALPHA, GREY, PALETTE
from scalecurv.quantities import CHAIN

K, LOWER, UPPER = "scalar_curvature", "curvature_lower", "curvature_upper"
COMMAND = "`scalecurv analyze CHECKPOINTS STORE --measure curvature,rank` computes K, its bracket and the chain"
FORMULAS = {  # of the links, by the formula that a store holds
    "T (T - lambda)": r"$T(T - \lambda)$",
    "T^2 - lambda^2 - (T - lambda)^2 / (r - 1)": r"$T^2 - \lambda^2 - (T-\lambda)^2/(r-1)$",
    "(1 - 1/r) T^2": r"$(1 - 1/r)\,T^2$",
    "(r - 1) F": r"$(r - 1)\,F$",
    "(r - 1) lambda T": r"$(r - 1)\,\lambda T$",
    "r (r - 1) lambda^2": r"$r(r - 1)\,\lambda^2$",
}


@dataclass(frozen=True)
class Mark:
    """The way that a verdict is drawn: no two have the same marker."""

    words: str
    color: str
    marker: str
    hollow: bool = False

    def handle(self) -> Line2D:
        return Line2D([], [], linestyle="none", label=self.words, **self.looks())

    def looks(self) -> dict[str, Any]:
        face = "white" if self.hollow else self.color
        return {"marker": self.marker, "color": self.color, "markerfacecolor": face, "markersize": 6}


MARKS = {
    Verdict.HOLDS: Mark("holds", PALETTE[0], "o"),
    Verdict.VIOLATED: Mark("violated", PALETTE[1], "X"),
    Verdict.UNDECIDED: Mark("undecided: the intervals are too wide", "#B07A00", "D", hollow=True),
    Verdict.NOT_APPLICABLE: Mark("chain not applicable", "#6E6E6E", "s", hollow=True),
}


def chain(
    source: Any,
    *,
    step: int | str | None = None,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    yscale: str = "auto",
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: Any = None,
) -> Any:
    """Draw K within its bracket over the steps of each run; with `step`, every link of the chain of bounds there.

    `source` is a Store; a frame of its table `results` has the bracket and one of `long` the chain too. Over steps, the
    band goes from `curvature_lower` to `curvature_upper`, the bars are the interval of K, and markers show
    `chain_status`. With `step` (a number, "first" or "last") K, its bracket and the six links stand below each other,
    each with its interval, and its verdict in a marker and in words:
    0 <= T(T - l) <= K <= T² - l² - (T - l)²/(r - 1) <= (1 - 1/r)T² <= (r - 1)F <= (r - 1)lT <= r(r - 1)l².
    Returns the Axes, or an array with one for each run. Raises Misuse where no K is there.
    (Gegenfurtner, Flatness Has a Shape)

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> frame = pd.DataFrame({"run": "a", "step": [0, 9], "scalar_curvature": [2.0, 3.0]})
        >>> axes = sc.plot.chain(frame.assign(curvature_lower=[1.0, 2.0], curvature_upper=[4.0, 5.0]))
        >>> [line.get_ydata().tolist() for line in axes.lines if line.get_gid() == "K"]
        [[2.0, 3.0]]
    """
    options = Options(ax, title, size, font_size, style_sheet)
    series = series_of(source, where, run, step)
    if not any(K in one.rows and one.rows[K].notna().any() for one in series):
        raise Misuse(f"{place(source)} holds no {K} of these checkpoints; {COMMAND}")
    series = [one for one in series if K in one.rows and one.rows[K].notna().any()]
    each = (3.7, 2.7) if step is None else (5.2, 2.6)
    with panels_for(series, options, each, share_y=step is None) as (figure, axes):
        if step is None:
            whole = np.concatenate([_extent(one.rows) for one in series], axis=1)
            scale = value_scale(whole[0], whole[1], whole[2], yscale)
            shown = [_bracket(axis, one, scale) for one, axis in zip(series, axes, strict=True)]
            axes[0].set_ylim(*limits(scale, whole[0], whole[1], whole[2]))
            label_outer(axes, "training step", "$K$")
            handles: list[Any] = [Patch(facecolor=PALETTE[5], alpha=2 * BAND_ALPHA, label="bracket of K")]
            handles.append(Line2D([], [], color="#333333", label="K with its interval"))
        else:
            shown = [_links(axis, one, yscale) for one, axis in zip(series, axes, strict=True)]
            label_outer(axes, "value, in the units of K", "")
            handles = [Line2D([], [], color=PALETTE[5], linewidth=6, alpha=0.6, label="bracket of K")]
            handles.append(Line2D([], [], color="#333333", marker="|", markersize=8, label="K with its interval"))
        verdicts = set().union(*shown)
        explain_panels(figure, axes, handles + [MARKS[v].handle() for v in Verdict if v in verdicts], options)
        return outcome(axes)


def _extent(rows: Any) -> np.ndarray:
    """Return K and both ends of its bracket, each with the interval of K, of shape (3, 3 len(rows))."""
    value, lower, upper = ends(rows, K)
    bounds = [np.where(np.isfinite(found), found, value) for found in (_outer(rows, LOWER, 1), _outer(rows, UPPER, 2))]
    return np.stack([np.concatenate([value, *bounds]), np.tile(lower, 3), np.tile(upper, 3)])


def _bracket(axis: Axes, series: Series, scale: Scale) -> set[Verdict]:
    """Draw K over steps within its bracket; return the verdicts that are drawn."""
    rows, steps = series.rows, np.array(series.steps, dtype=float)
    value, lower, upper = ends(rows, K)
    low, high = (_outer(rows, name, i) for name, i in ((LOWER, 1), (UPPER, 2)))
    inside = np.isfinite(low) & np.isfinite(high)
    scale.set_on(axis, "y")
    shade: dict[str, Any] = {"color": PALETTE[5], "alpha": 2 * BAND_ALPHA}
    axis.fill_between(steps, low, high, where=inside, linewidth=0, gid="bracket", **shade)
    alone = inside & ~(np.roll(inside, 1) & (np.arange(len(steps)) > 0)) & ~np.append(inside[1:], False)
    axis.vlines(steps[alone], low[alone], high[alone], linewidth=6, **shade)
    axis.plot(steps, value, color="#333333", linewidth=1.0, gid="K", zorder=2.5)
    known = np.isfinite(lower) & np.isfinite(upper) & (upper > lower)
    axis.vlines(steps[known], lower[known], upper[known], color="#333333", linewidth=1.0, zorder=2.5)
    verdicts = _statuses(rows)
    for verdict, mark in MARKS.items():
        there = np.array([one == verdict for one in verdicts]) & np.isfinite(value)
        if there.any():
            axis.plot(steps[there], value[there], linestyle="none", zorder=3, **{**mark.looks(), "markersize": 4.5})
    along = step_scale(steps)
    along.set_on(axis, "x")
    tidy_ticks(axis, along, "x", integer=True)
    tidy_ticks(axis, scale, "y")
    return {one for one, size in zip(verdicts, value, strict=True) if one is not None and np.isfinite(size)}


def _outer(rows: Any, name: str, end: int) -> np.ndarray:
    """Return the outer end of the interval of a bound, or its value where it has none."""
    if name not in rows:
        return np.full(len(rows), np.nan)
    found = ends(rows, name)
    return np.where(np.isfinite(found[end]), found[end], found[0])


def _statuses(rows: Any) -> list[Verdict | None]:
    if "chain_status" not in rows:
        return [None] * len(rows)
    known = {str(verdict): verdict for verdict in Verdict}
    return [known.get(str(status)) for status in rows["chain_status"]]


def _links(axis: Axes, series: Series, scale_kind: str) -> set[Verdict]:
    """Draw K, its bracket and the links at one checkpoint below each other; return the verdicts that are drawn."""
    rows = series.rows.iloc[:1]
    middle, low, high = (float(one[0]) for one in ends(rows, K))
    bracket = float(_outer(rows, LOWER, 1)[0]), float(_outer(rows, UPPER, 2)[0])
    links = _stored_links(series)
    numbers: list[tuple[str, float, float, float]] = []
    for name in CHAIN:
        value, lower, upper = (float(part[0]) for part in ends(rows, name)) if name in rows else (np.nan,) * 3
        if np.isfinite(value) and name in links:
            numbers.append((name, value, lower, upper))
    entries = [*numbers[:1], ("K", middle, low, high), *numbers[1:]]
    every = np.array([one[1:] for one in entries] + [(b, b, b) for b in bracket if np.isfinite(b)])
    scale = value_scale(every[:, 0], every[:, 1], every[:, 2], scale_kind)
    scale.set_on(axis, "x")
    names: list[str] = []
    shown: set[Verdict] = set()
    for y, (name, value, lower, upper) in enumerate(entries):
        if name == "K":
            if np.isfinite(bracket).all():
                axis.plot(
                    bracket, [y, y], color=PALETTE[5], linewidth=9, alpha=0.6, solid_capstyle="butt", gid="bracket"
                )
            axis.plot([value], [y], color="#333333", marker="|", markersize=11, gid="K", zorder=3)
            names.append("$K$")
            axis.axvline(value, color=GREY, linewidth=0.7, linestyle=":", zorder=1)
        else:
            formula, verdict = links[name]
            shown.add(verdict)
            names.append(FORMULAS.get(formula, name))
            axis.plot([value], [y], linestyle="none", gid=name, zorder=3, **MARKS[verdict].looks())
            words = MARKS[verdict].words.partition(":")[0]
            axis.annotate(words, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize="x-small")
        if np.isfinite([lower, upper]).all() and upper > lower:
            axis.hlines(y, lower, upper, color="#333333" if name == "K" else MARKS[links[name][1]].color, linewidth=1.4)
    axis.set_xlim(*limits(scale, every[:, 0], every[:, 1], every[:, 2]))
    axis.set_yticks(range(len(entries)), names)
    axis.set_ylim(len(entries) - 0.4, -0.6)
    axis.grid(False, axis="y")
    tidy_ticks(axis, scale, "x")
    axis.set_title(f"{axis.get_title(loc='left') or axis.get_title()}, step {series.steps[0]:,}")
    if not numbers:
        shown.add(Verdict.NOT_APPLICABLE)
        axis.text(0.02, 0.04, _reason(series), transform=axis.transAxes, fontsize="x-small", color="#555555", wrap=True)
    return shown


def _stored_links(series: Series) -> dict[str, tuple[str, Verdict]]:
    """Return the formula and the verdict of each stored link, by its name; none of a frame without methods."""
    rows = _methods(series)
    return {
        name: (method.rpartition(SEPARATOR)[0], stored_verdict(method))
        for name, method in rows.items()
        if stored_verdict(method) is not Verdict.NOT_APPLICABLE
    }


def _methods(series: Series) -> dict[str, str]:
    table = series.selection.long
    if not len(table) or "method" not in table:
        return {}
    one = series.rows.iloc[0]
    here = table[table["quantity"].isin(CHAIN)]
    for name in ("checkpoint", "run", "step", "task_id", "dtype", "seed"):
        if name in here and name in series.rows:
            here = here[here[name] == one[name]]
    return dict(zip(here["quantity"].astype(str), here["method"].astype(str), strict=True))


def _reason(series: Series) -> str:
    """Return the words for a checkpoint without links: the stored reason, or that the source has none."""
    methods = list(_methods(series).values())
    return f"chain not applicable: {methods[0]}" if methods else "the verdicts of the chain are in a Store or in long"
