"""The spectral density of the Hessian over training: ridges, a heat map, or one density with its errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalecurv.errors import Misuse
from scalecurv.plot.axes import tidy_ticks
from scalecurv.plot.canvas import remark
from scalecurv.plot.expressions import ends
from scalecurv.plot.masses import Spectrum, cell_edges, common_width, eigenvalue_scale, extent, single_peak
from scalecurv.plot.masses import shares as shares_of
from scalecurv.plot.panels import (
    Options,
    Series,
    explain_panels,
    label_outer,
    outcome,
    panels_for,
    series_of,
    step_columns,
)
from scalecurv.plot.ridges import draw_ridges, draw_single
from scalecurv.plot.selection import Selection, place, select
from scalecurv.plot.style import PALETTE, sequential

KINDS = ("auto", "ridge", "heat", "single")
SCALES = ("log", "linear")
FEW = 12  # checkpoints that have ridges of their own
WAY = ["fingerprint", "task_id", "dtype"]
Seeds = dict[Any, set[int]]
THINNED = 200  # columns of a heat map
CELLS = 240  # of an axis of eigenvalues
UNKNOWN = (float("nan"), float("nan"))  # the interval of an end of the spectrum that is not stored
COMMAND = "`scalecurv analyze CHECKPOINTS STORE --measure spectrum` computes it"
UNIT = "share of eigenvalues\nper unit of eigenvalue"


def spectrum(
    source: Any,
    *,
    run: str | Sequence[str] | None = None,
    steps: int | str | Sequence[int] | None = None,
    kind: str = "auto",
    scale: str = "log",
    eigenvalues: str = "auto",
    sigma: float | None = None,
    where: str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: Any = None,
) -> Any:
    r"""Draw the density of the eigenvalues of H, phi(t) = sum_j w_j N(t; node_j, sigma^2), over the steps of each run.

    `source` is a Store that holds spectra, or one rule, such as `scalecurv.spectrum` returns. `kind` is "ridge" (a
    curve for each step, one above another), "heat" (a column for each), "single" (one step, with its errors) or "auto".
    `steps` is a step, several, "first" or "last". `scale` is that of the density, "log" or "linear", and `eigenvalues`
    that of their axis: "symlog", "linear" or "auto". `sigma`, in units of the eigenvalues, is one width for all curves:
    without it, the smallest that the Gauss rules of all checkpoints can be smoothed by. The density is per unit of
    eigenvalue on every scale, never per decade. It integrates to 1, and P times it counts eigenvalues. Where all
    eigenvalues are stored, they are counted in cells and not smoothed.

    All --seeds of a checkpoint are merged: their random starts are those of one density. `where` can choose one.
    Triangles and bars mark the stored `lambda_min` and `lambda_max` with their intervals. A single density has a band
    of 95 % over the random starts, and a wider one with the bound on the truncation. The log scale ends at a third of
    the peak of one eigenvalue among P. Returns the Axes, or an array with one for each
    run. Raises Misuse where no spectrum is stored. (Lin, Saad and Yang 2016; Ghorbani, Krishnan and Xiao 2019)

    Example:
        >>> import numpy as np, scalecurv as sc
        >>> from scalecurv.results.density import SpectralRule
        >>> rule = SpectralRule(np.array([-1.0, 3.0]), np.array([0.25, 0.75]), np.array([0, 0]))
        >>> t, phi = sc.plot.spectrum(rule, sigma=0.1).lines[0].get_data()
        >>> round(float(np.trapezoid(phi, t)), 3), round(float(t[phi.argmax()]), 1)
        (1.0, 3.0)
    """
    for name, given, known in (("kind", kind, KINDS), ("scale", scale, SCALES)):
        if given not in known:
            raise Misuse(f"{name} is {given!r}; choose from {', '.join(known)}")
    if eigenvalues not in ("auto", "linear", "symlog"):
        raise Misuse(f"eigenvalues is {eigenvalues!r}; choose from auto, linear, symlog")
    if sigma is not None and not 0 < sigma < np.inf:
        raise Misuse(f"sigma is {sigma}; give a positive width in units of the eigenvalues")
    options = Options(ax, title, size, font_size, style_sheet)
    series, spectra, thinned = _stored(source, where, run, steps)
    longest = max(map(len, spectra))
    if kind == "auto":
        kind = "single" if longest == 1 else "ridge" if longest <= FEW else "heat"
    if kind == "single" and longest > 1:
        raise Misuse(f"one density is drawn of one checkpoint, and there are {longest}; give steps=, such as 'last'")
    if kind == "ridge" and longest > 40:
        raise Misuse(f"{longest} ridges do not fit into one picture; give steps= or kind='heat'")
    every = [one for several in spectra for one in several]
    width = common_width(every) if sigma is None else 0.0 if all(one.rule.exact for one in every) else sigma
    axis_scale = eigenvalue_scale(every, width, eigenvalues)
    each = {"ridge": (4.2, 1.2 + 0.36 * longest), "heat": (4.2, 3.2), "single": (4.6, 3.0)}[kind]
    edges = cell_edges(every, width, axis_scale, CELLS if width else CELLS // 4)
    with panels_for(series, options, each, share_y=kind == "heat") as (figure, axes):
        handles: list[Any] = []
        if kind == "heat":
            handles = _heat(figure, axes, spectra, width, edges, scale)
            for axis in axes:
                axis_scale.set_on(axis, "y")
                axis.set_ylim(*extent(every, width, axis_scale))
                tidy_ticks(axis, axis_scale, "y")
            label_outer(axes, "training step (not to scale)", "eigenvalue of H")
        else:
            draw = draw_ridges if kind == "ridge" else draw_single
            for axis, several in zip(axes, spectra, strict=True):
                handles = draw(axis, several, width, edges, scale)
                if kind == "single" and title is None and several[0].step is not None:
                    axis.set_title(f"{axis.get_title(loc='left')}, step {several[0].step:,}")
                axis_scale.set_on(axis, "x")
                axis.set_xlim(*extent(every, width, axis_scale))
                tidy_ticks(axis, axis_scale, "x")
            label_outer(axes, "eigenvalue of H", "training step" if kind == "ridge" else UNIT)
        explain_panels(figure, axes, handles, options)
        if thinned:
            remark(figure, f"{thinned} checkpoints left out between others: a heat map has at most {THINNED} columns")
        smoothed = f"smoothed by sigma = {width:.3g}" if width else "all eigenvalues, counted"
        remark(figure, f"density per unit of eigenvalue, {smoothed}")
        return outcome(axes)


def _stored(source: Any, where: str | None, run: Any, steps: Any) -> tuple[list[Series], list[list[Spectrum]], int]:
    """Return the series that have spectra, their spectra, and how many were left out to fit."""
    if hasattr(source, "nodes") and hasattr(source, "density"):
        alone = Spectrum(None, source, None, UNKNOWN, UNKNOWN)
        return [Series("", Selection(source, pd.DataFrame()))], [[alone]], 0
    if isinstance(source, pd.DataFrame) or not (hasattr(source, "spectrum") and hasattr(source, "table")):
        raise Misuse("spectra are arrays, which only a Store holds; give scalecurv.open_store(...) in place of a frame")
    wanted = None if steps is None or isinstance(steps, int | str | np.integer) else set(steps)
    if wanted and (words := [one for one in wanted if isinstance(one, str)]):
        if len(wanted) > 1 or words[0] not in ("first", "last"):
            raise Misuse(f"steps are {', '.join(map(str, steps))}; give numbers, or 'first' or 'last' alone")
        steps, wanted = words[0], None
    series = series_of(source, where, run, steps if wanted is None else None, merged=True)
    arrays = source.table("arrays")
    there = _seeds(arrays[(arrays["measure"] == "spectrum") & (arrays["name"] == "ritz_nodes")])
    asked = _seeds(select(source, where, run).rows)
    kept, found, left_out = [], [], 0
    for one in series:
        rows = one.rows if wanted is None else one.rows[one.rows["step"].isin(wanted)]
        keys = list(rows[WAY].itertuples(index=False, name=None))
        rows = rows[[bool(there.get(key, set()) & asked[key]) for key in keys]]
        if len(rows) > THINNED:
            chosen = np.unique(np.linspace(0, len(rows) - 1, THINNED).round().astype(int))
            left_out, rows = left_out + len(rows) - len(chosen), rows.iloc[chosen]
        if len(rows):
            kept.append(one)
            found.append([_read(source, row, there, asked) for _, row in rows.iterrows()])
    if not found:
        raise Misuse(f"{place(source)} holds no spectrum of these checkpoints; {COMMAND}")
    return kept, found, left_out


def _seeds(rows: pd.DataFrame) -> Seeds:
    """Return the --seeds of each content, task and dtype."""
    return {key: set(part) for key, part in rows.groupby(WAY, observed=True)["seed"]}


def _read(source: Any, row: pd.Series, there: Seeds, asked: Seeds) -> Spectrum:
    """Return the spectrum of a checkpoint: its --seeds merged, or the only one that is asked for by `where`."""
    key = tuple(row[WAY])
    chosen = there[key] & asked[key]
    if len(chosen) > 1 and chosen != there[key]:
        listed = ", ".join(map(str, sorted(there[key])))
        raise Misuse(f"{len(chosen)} of the seeds {listed} are chosen; choose one by where=, or leave all of them in")
    seed = None if chosen == there[key] else chosen.pop()
    rule = source.spectrum(row["fingerprint"], seed, task_id=row["task_id"], dtype=row["dtype"])
    number = row.get("num_params")
    sides = []
    for name in ("lambda_min", "lambda_max"):
        stored = name in row.index and pd.notna(row[name])
        _, lower, upper = ends(row.to_frame().T.infer_objects(), name) if stored else ((), [np.nan], [np.nan])
        sides.append((float(lower[0]), float(upper[0])))
    return Spectrum(int(row["step"]), rule, None if pd.isna(number) else int(number), sides[0], sides[1])


def _heat(
    figure: Any, axes: list[Axes], spectra: list[list[Spectrum]], width: float, edges: np.ndarray, scale: str
) -> list[Any]:
    """Draw a column for each checkpoint of each run, with the ends of the spectrum; return the legend's artists."""
    columns = [np.array([shares_of(one.rule, width, edges) for one in several]).T for several in spectra]
    floor = min(single_peak(one, width, edges) for several in spectra for one in several) / 3
    top = max(float(one.max()) for one in columns)
    norm: Normalize = LogNorm(min(floor, top / 10), top) if scale == "log" else Normalize(0, top)
    colors = sequential().with_extremes(under="white", bad="white")
    for axis, several, values in zip(axes, spectra, columns, strict=True):
        across = np.arange(len(several) + 1) - 0.5
        axis.pcolormesh(across, edges, np.ma.masked_less_equal(values, 0.0), norm=norm, cmap=colors, rasterized=True)
        axis.grid(False)
        step_columns(axis.xaxis, [one.step or 0 for one in several])
        for side, marker in (("smallest", "v"), ("largest", "^")):
            ends_of = np.array([getattr(one, side) for one in several])
            known = np.isfinite(ends_of).all(axis=1)
            place_of = np.flatnonzero(known)
            looks: dict[str, Any] = {"color": PALETTE[1], "linewidth": 1.2}
            axis.vlines(place_of, ends_of[known, 0], ends_of[known, 1], **looks)
            axis.scatter(place_of, ends_of[known].mean(axis=1), marker=marker, s=14, color=PALETTE[1], gid=side)
    bar = figure.colorbar(ScalarMappable(norm, colors), ax=axes, pad=0.02, aspect=25, extend="min")
    bar.set_label(UNIT)
    bar.outline.set_visible(False)
    marks = [("^", r"$\lambda_{\max}$ with its interval"), ("v", r"$\lambda_{\min}$ with its interval")]
    handles: list[Any] = [Line2D([], [], marker=m, color=PALETTE[1], linestyle="-", label=words) for m, words in marks]
    return [*handles, Patch(facecolor="white", edgecolor="#BBBBBB", label="below a third of one eigenvalue")]
