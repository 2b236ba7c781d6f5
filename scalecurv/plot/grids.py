"""The grid of panels of a figure, and the words on it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scalecurv.plot.canvas import figure_of, new_figure
from scalecurv.plot.expressions import Numbers
from scalecurv.plot.labels import formula, plain, shortened, value_text

WIDTH, HEIGHT = 7.0, 1.9  # inches of a figure, and of one of several rows
ALONE = 3.6  # inches of height of a panel alone
FACET, WIDEST = 2.6, 13.0  # inches of width of one of several columns, and of all
X_WORDS = {"step": "training step"}


def panel_grid(ax: Axes | None, quantities: int, facets: int, size: Sequence[float] | None) -> np.ndarray:
    """Return the Axes as an array of shape (quantities, facets), new ones unless `ax` is given.

    The facets of one quantity fill several rows: they are of shape (1, facets) all the same.
    """
    if ax is not None:
        return np.array([[ax]])
    columns = facets if quantities > 1 else min(facets, max(1, math.ceil(math.sqrt(facets * 1.5))))
    rows = quantities if quantities > 1 else math.ceil(facets / columns)
    width = WIDTH if columns == 1 else min(max(WIDTH, FACET * columns + 1), WIDEST)
    height = ALONE if rows == 1 else max(HEIGHT * rows + 0.4, ALONE)
    figure = new_figure((width, height) if size is None else size)
    grid = figure.subplots(rows, columns, sharex=True, sharey="row" if quantities > 1 else True, squeeze=False)
    if quantities > 1:
        return np.asarray(grid)
    for unused in grid.ravel()[facets:]:
        unused.remove()
    for above in grid.ravel()[
        max(facets - columns, 0) : facets
    ]:  # its ticks are hidden where a panel was removed below
        above.tick_params(labelbottom=True)
    return np.asarray(grid.ravel()[:facets][None, :])


def write_words(
    grid: np.ndarray, wanted: Sequence[Numbers], values: Sequence[Any], by: str | None, x: str, title: str | None
) -> None:
    """Write what each panel shows: its quantity or its facet above it, the steps below the lowest ones."""
    figure = figure_of(grid[0, 0])
    ours = len(figure.axes) == grid.size
    if by is None:
        for row, found in zip(grid, wanted, strict=True):
            if len(wanted) > 1 or title is None:
                row[0].set_title(found.title, loc="left")
    else:
        for axes, value in zip(grid[0], values, strict=True):
            axes.set_title(f"{plain(by)} = {plain(shortened(value_text(value), 28))}", loc="left")
    if title is not None and ours and grid.size > 1:
        figure.suptitle(formula(title))
    elif title is not None:
        grid[0, 0].set_title(formula(title), loc="left")
    for axes in grid.flat:
        spec = axes.get_subplotspec()
        if spec is None or spec.is_last_row() or (len(wanted) == 1 and axes.xaxis.get_tick_params()["labelbottom"]):
            axes.set_xlabel(X_WORDS.get(x, plain(x)))
        if len(wanted) == 1 and spec is not None and spec.is_first_col():
            axes.set_ylabel(wanted[0].axis)
