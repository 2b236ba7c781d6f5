"""Figures that no global state knows, that a notebook shows, and that remember what is to be said about them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from scalecurv.errors import Misuse

SMALLEST, LARGEST = 0.5, 100.0  # inches
NOTEBOOK_DPI = 100
_REMARKS: WeakKeyDictionary[Figure, list[str]] = WeakKeyDictionary()


class Panels(np.ndarray):
    """An array of Axes that a notebook shows as their figure."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        axes = next((one for one in self.flat if isinstance(one, Axes)), None)
        return None if axes is None else png_of(figure_of(axes))


def new_figure(size: Sequence[float]) -> Figure:
    """Return an empty figure of `size` (width, height) in inches; raises Misuse for a size that cannot be drawn."""
    checked_size(size)
    figure = Figure(figsize=(float(size[0]), float(size[1])), layout="constrained")
    FigureCanvasAgg(figure)  # which draws into memory, and opens no window
    return figure


def checked_size(size: Sequence[float]) -> None:
    """Raise Misuse unless `size` is a width and a height in inches."""
    if len(size) != 2 or not all(SMALLEST <= float(side) <= LARGEST for side in size):
        shown = "x".join(f"{float(side):g}" for side in size)
        raise Misuse(f"the size is {shown}; give width and height in inches, each from {SMALLEST} to {LARGEST:g}")


def figure_of(axes: Axes) -> Figure:
    """Return the whole figure that an Axes belongs to."""
    figure = axes.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


def shown(axes: Any) -> Any:
    """Return `axes`, one or an array, such that a notebook shows the figure of what a cell ends in."""
    if isinstance(axes, np.ndarray):
        if axes.size > 1:
            return axes.view(Panels)
        axes = axes.flat[0]
    axes._repr_png_ = partial(png_of, figure_of(axes))
    return axes


def png_of(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a figure as a PNG of twice the resolution that its size on a screen has, and this size in pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=2 * NOTEBOOK_DPI)
    width, height = figure.get_size_inches() * NOTEBOOK_DPI
    return buffer.getvalue(), {"width": round(width), "height": round(height)}


def remark(figure: Figure, text: str) -> None:
    """Keep one line about a figure for those who save it: what it shows, or could not show."""
    _REMARKS.setdefault(figure, []).append(text)


def remarks(figure: Figure) -> list[str]:
    """Return the remarks on a figure, in their order."""
    return list(_REMARKS.get(figure, []))


@dataclass(frozen=True)
class Content:
    """The number of panels of a figure, and of the runs and checkpoints in them."""

    panels: int
    runs: int
    checkpoints: int


_CONTENTS: WeakKeyDictionary[Figure, Content] = WeakKeyDictionary()


def contains(figure: Figure, panels: int, rows: pd.DataFrame) -> None:
    """Keep how much a figure shows, for those who save it: its panels, and the runs and checkpoints of `rows`."""
    runs = rows["run"].nunique() if "run" in rows else 0
    checkpoints = rows["checkpoint"].nunique() if "checkpoint" in rows else len(rows)
    _CONTENTS[figure] = Content(panels, runs, checkpoints)


def content(figure: Figure) -> Content | None:
    """Return how much a figure shows, None where nothing was kept."""
    return _CONTENTS.get(figure)
