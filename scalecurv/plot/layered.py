"""A quantity of each layer over training, as a heat map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, LogNorm, Normalize, SymLogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from scalecurv.errors import Misuse
from scalecurv.plot.attributes import LINE, attribute
from scalecurv.plot.canvas import figure_of
from scalecurv.plot.expressions import drawable
from scalecurv.plot.labels import plain, shortened, symbol
from scalecurv.plot.labels import title as title_of
from scalecurv.plot.legends import POINT
from scalecurv.plot.panels import Options, Series, explain_panels, label_outer, outcome, panels_for, step_columns
from scalecurv.plot.selection import ROW, Selection, is_long, place, select
from scalecurv.plot.style import GREY, diverging, sequential

DECADES = 6  # below the largest size, over which colours of signed values are logarithmic
UNSURE = 0.2  # half-width of an interval, relative to its value, from which a cell is marked
WRITTEN = 60  # cells of a panel that have room for their numbers
COMMAND = "`scalecurv analyze CHECKPOINTS STORE --measure moments` computes trace and trace_h2 of each layer"
MISSING = "////"


def layers(
    source: Any,
    quantity: str = "trace",
    *,
    where: str | None = None,
    run: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    size: Sequence[float] | None = None,
    font_size: float | None = None,
    style_sheet: Any = None,
) -> Any:
    """Draw a quantity of each layer (rows, in the order of the model) at each checkpoint (columns) as colours.

    `source` is a Store, or a frame of its table `long`; the layers are its `component`. Positive values have a
    logarithmic scale, those of both signs one that is white at 0. Dots mark intervals of more than 20 % to either side,
    and cells without a value are hatched. `where` is a condition on the columns of `long`. Returns the Axes, or an
    array with one for each run. Raises Misuse where the quantity of no layer is there.

    Example:
        >>> import pandas as pd, scalecurv as sc
        >>> frame = pd.DataFrame({"step": [0, 0, 9], "component": ["0", "2", "0"], "value": [1.0, 8.0, 2.0]})
        >>> axes = sc.plot.layers(frame.assign(run="a", quantity="trace"))
        >>> axes.collections[0].get_array().tolist()
        [[1.0, 2.0], [8.0, None]]
    """
    rows = _rows(source, quantity, where, run)
    options = Options(ax, title, size, font_size, style_sheet)
    order = list(dict.fromkeys(rows["component"]))
    selection = Selection(source, rows)
    series = [
        Series(plain(shortened(label)), Selection(source, part))
        for label, part in rows.groupby(attribute(selection, LINE), sort=False)
    ]
    # two lengths of columns: a panel with few layers is flat
    each = (3.9, min(1.1 + 0.28 * len(order), 6.0))
    with panels_for(series, options, each) as (figure, axes):
        norm, colors = _scale(rows["value"].to_numpy(dtype=float))
        unsure = absent = False
        for one, axis in zip(series, axes, strict=True):
            gaps, marks = _map(axis, one, order, norm, colors)
            absent, unsure = absent | gaps, unsure | marks
        label_outer(axes, "training step (not to scale)", "layer")
        bar = figure.colorbar(ScalarMappable(norm, colors), ax=axes, pad=0.02, aspect=25)
        bar.set_label(f"{symbol(quantity)} of the layer")
        bar.outline.set_visible(False)
        if options.title is None and len(axes) > 1:
            figure.suptitle(f"{title_of(quantity) or plain(quantity)}, by layer", x=0.01, ha="left")
        handles: list[Any] = []
        if absent:
            handles.append(Patch(facecolor="white", edgecolor=GREY, hatch=MISSING, label="no value"))
        if unsure:
            dot: dict[str, Any] = {
                "marker": "o",
                "markerfacecolor": "white",
                "markeredgecolor": "black",
                "linestyle": "none",
            }
            handles.append(Line2D([], [], markersize=4, label=f"interval wider than ± {UNSURE:.0%}", **dot))
        explain_panels(figure, axes, handles, options)
        return outcome(axes)


def _rows(source: Any, quantity: str, where: str | None, run: Any) -> pd.DataFrame:
    """Return the rows of `long` that are of layers, with a step, of the quantity."""
    table = source if isinstance(source, pd.DataFrame) else source.table("long") if hasattr(source, "table") else None
    if table is None or not (is_long(table) and "component" in table and "step" in table):
        raise Misuse("layers are drawn from a Store, or from a frame of its table long, with component and step")
    of_layers = table[(table["component"] != "") & table["component"].notna()]
    rows = of_layers[(of_layers["quantity"] == quantity) & of_layers["step"].notna()]
    ends = [name for name in ("value", "lower", "upper") if name in rows]
    rows = rows.assign(**{name: drawable(rows[name].to_numpy(dtype=float)) for name in ends})
    if not np.isfinite(rows["value"]).any():
        there = list(dict.fromkeys(of_layers["quantity"]))
        advice = f"those of layers are {', '.join(there)}" if there else COMMAND
        raise Misuse(f"{place(source)} holds no {quantity!r} of a layer; {advice}")
    if where is None and run is None:
        return rows.reset_index(drop=True)
    # `select` works on a row for each checkpoint: here, on those of one layer, whose labels it checks
    kept = select(_labels(rows), where, run).rows["_at"].explode().astype(int)
    return rows.reset_index(drop=True).loc[sorted(kept)].reset_index(drop=True)


def _labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without their quantity, as `select` takes a frame of `results`, with their positions."""
    numbers = {"quantity", "value", "lower", "upper", "stderr"}
    return rows.drop(columns=[name for name in rows if name in numbers]).assign(
        _at=[[i] for i in range(len(rows))], layer=rows["component"].to_numpy(), size=rows["value"].to_numpy()
    )


def _map(axis: Axes, series: Series, order: list[str], norm: Normalize, colors: Colormap) -> tuple[bool, bool]:
    """Draw one run; return whether a cell has no value, and whether one is marked as unsure."""
    rows = series.rows
    keys = [name for name in ROW if name in rows]
    columns = rows[keys].drop_duplicates().sort_values("step", kind="stable")
    place_of = {key: i for i, key in enumerate(map(tuple, columns.to_numpy().tolist()))}
    values, wide = np.full((len(order), len(columns)), np.nan), np.zeros((len(order), len(columns)), dtype=bool)
    across = np.array([place_of[key] for key in map(tuple, rows[keys].to_numpy().tolist())])
    down = rows["component"].map({name: i for i, name in enumerate(order)}).to_numpy()
    values[down, across] = rows["value"].to_numpy(dtype=float)
    if {"lower", "upper"} <= set(rows):
        half = (rows["upper"] - rows["lower"]).to_numpy(dtype=float) / 2
        wide[down, across] = half > UNSURE * np.abs(rows["value"].to_numpy(dtype=float))
    values[~np.isfinite(values)] = np.nan
    height, width = values.shape
    backing = Rectangle((-0.5, -0.5), width, height, facecolor="white", edgecolor=GREY, hatch=MISSING, linewidth=0)
    axis.add_patch(backing)
    edges = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
    looks: dict[str, Any] = {"linewidth": 0.5 if width <= 60 else 0, "edgecolor": "white"}
    mesh = axis.pcolormesh(*edges, np.ma.masked_invalid(values), norm=norm, cmap=colors, zorder=1.5, **looks)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axis.grid(False)
    step_columns(axis.xaxis, [int(step) for step in columns["step"]])
    axis.set_yticks(range(height), [plain(shortened(name, 24)) for name in order])
    wide &= ~np.isnan(values)
    written = width * height <= WRITTEN and _fit(axis, values)
    if wide.any():
        y, x = np.nonzero(wide)
        dots: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.6, "s": 12}
        axis.scatter(x + 0.36 if written else x, y - 0.3, zorder=3, **dots)
    if written:
        _write(axis, mesh, values)
    return bool(np.isnan(values).any()), bool(wide.any())


def _fit(axis: Axes, values: np.ndarray) -> bool:
    """Return True where the numbers are no wider than their cells."""
    spec = axis.get_subplotspec()
    across = 1 if spec is None else spec.get_gridspec().ncols
    cell = 0.65 * float(figure_of(axis).get_size_inches()[0]) / across / values.shape[1]
    letter = 0.6 * 0.58 * float(rcParams["font.size"]) * POINT  # of size xx-small
    return max((len(_number(value)) + 1 for value in values[np.isfinite(values)]), default=0) * letter <= cell


def _number(value: float) -> str:
    return f"{value:.3g}" if 0.001 <= abs(value) < 10000 or value == 0 else f"{value:.0e}".replace("e+0", "e")


def _write(axis: Axes, mesh: QuadMesh, values: np.ndarray) -> None:
    """Write each value into its cell, black or white, whichever has more contrast."""
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = mesh.cmap(mesh.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            axis.text(
                x,
                y,
                _number(value),
                ha="center",
                va="center",
                fontsize="xx-small",
                color="white" if dark else "black",
                zorder=2,
            )


def _scale(values: np.ndarray) -> tuple[Normalize, Colormap]:
    """Return the scale of colours: logarithmic for positive values, white at 0 for those of both signs."""
    values = values[np.isfinite(values)]
    top = float(np.abs(values).max()) or 1.0
    if (values < 0).any():
        small = max(float(np.abs(values[values != 0]).min()), top * 10.0**-DECADES)
        return SymLogNorm(min(small, top / 10), vmin=-top, vmax=top), diverging()
    low = float(values[values > 0].min(initial=top))
    if low == top:
        return Normalize(0.0, top), sequential()
    # 0, which a logarithm does not show, has the colour of the smallest
    return LogNorm(max(low, top * 10.0 ** -(2 * DECADES)), top, clip=True), sequential()
