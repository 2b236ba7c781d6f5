"""A panel for each run, columns for its checkpoints, and the words beside them: what several pictures share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator

from scalecurv.errors import Misuse
from scalecurv.plot.attributes import LINE, attribute
from scalecurv.plot.canvas import contains, figure_of, new_figure, remark, shown
from scalecurv.plot.labels import plain, shortened
from scalecurv.plot.legends import explain, explain_beside
from scalecurv.plot.selection import Selection, look_at, place, select
from scalecurv.plot.style import styled

MOST = 12  # panels of one picture
ACROSS = 2  # panels beside each other
CONTENT = ("checkpoint", "step", "fingerprint", "task_id", "dtype")  # a row of `results` but for its --seed
LETTERS = 5  # in the room that Matplotlib gives a tick and its label on a horizontal axis


@dataclass(frozen=True)
class Series:
    """The checkpoints of one run and way of analysis, in the order of their steps, and the name of the run."""

    label: str
    selection: Selection

    @property
    def rows(self) -> pd.DataFrame:
        return self.selection.rows

    @property
    def steps(self) -> list[int]:
        return [int(step) for step in self.rows["step"]]


@dataclass(frozen=True)
class Options:
    """The options that every picture has: the axes to draw into, words and sizes."""

    ax: Axes | None = None
    title: str | None = None
    size: Sequence[float] | None = None
    font_size: float | None = None
    style_sheet: Any = None


def series_of(
    source: Any, where: str | None, run: Any, step: int | str | None = None, merged: bool = False
) -> list[Series]:
    """Return the series of a store or a frame of `results`; of one checkpoint each where `step` is given.

    `step` is a number, or "first" or "last" of each run. Checkpoints that failed or have no step are left out. With
    `merged` all --seeds of a checkpoint are one row, the fullest. Raises Misuse where none is left.
    """
    selection = select(source, where, run)
    rows = selection.rows
    if "step" not in rows:
        raise Misuse(f"{place(source)} has no column step to draw over; take it from the table results")
    kept = rows["step"].notna()
    if "status" in rows:
        kept &= rows["status"] != "failed"
    if not kept.any():
        raise Misuse(f"{place(source)} holds no checkpoint with a step that did not fail; see {look_at(source)}")
    selection = selection.where(kept)
    found = []
    named = Selection(source, selection.rows.drop(columns="seed", errors="ignore")) if merged else selection
    for label, part in selection.rows.groupby(attribute(named, LINE), sort=False, dropna=False):
        if merged:
            fullest = part.loc[part.isna().sum(axis=1).sort_values(kind="stable").index]
            part = part[~fullest.duplicated([key for key in CONTENT if key in part]).reindex(part.index)]
        ordered = part.sort_values("step", kind="stable")
        if step is not None:
            ordered = _at(ordered, step)
        if len(ordered):
            series = Selection(source, ordered.reset_index(drop=True), selection.left_out)
            found.append(Series(plain(shortened(label)), series))
    if not found:
        there = ", ".join(str(one) for one in sorted(set(selection.rows["step"].astype(int)))[:12])
        raise Misuse(f"no checkpoint has step {step}; there are steps {there}")
    return found


def _at(rows: pd.DataFrame, step: int | str) -> pd.DataFrame:
    if step in ("first", "last"):
        return rows.iloc[:1] if step == "first" else rows.iloc[-1:]
    if isinstance(step, bool) or not isinstance(step, int | np.integer):
        raise Misuse(f"step is {step!r}; give a whole number, 'first' or 'last'")
    there = rows[rows["step"] == step]
    return there.drop_duplicates("fingerprint") if "fingerprint" in there else there  # two files of the same weights


@contextmanager
def panels_for(
    series: Sequence[Series], options: Options, each: tuple[float, float] = (3.7, 2.7), share_y: bool = True
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure and a panel for each series, in our style, with its name or the title above it.

    `each` is the size of a panel in inches, where the size of the figure is not given. Raises Misuse for more than MOST
    series, and for several that shall be drawn into one Axes.
    """
    count = len(series)
    if options.ax is not None and count > 1:
        raise Misuse(f"ax= takes the picture of one run, and there are {count}; choose with run= or where=")
    if count > MOST:
        raise Misuse(f"{count} runs would take {count} panels; choose at most {MOST} with run= or where=")
    with styled(options.style_sheet, options.font_size):
        if options.ax is not None:
            axes = [options.ax]
            figure = figure_of(options.ax)
        else:
            across = min(count, ACROSS)
            down = -(-count // across)
            wide = 1.35 if across == 1 else 1.0
            figure = new_figure(options.size or (each[0] * across * wide + 1.2, each[1] * down * wide**0.5 + 0.3))
            grid = figure.subplots(down, across, squeeze=False, sharey=share_y)
            axes = list(grid.flat)[:count]
            for unused in list(grid.flat)[count:]:
                unused.remove()
        if count > 1:
            for one, axis in zip(series, axes, strict=True):
                axis.set_title(one.label, fontsize="medium")
        elif options.title is None:
            axes[0].set_title(series[0].label)
        if options.title is not None:
            if count > 1:
                figure.suptitle(plain(options.title), x=0.01, ha="left")
            else:
                axes[0].set_title(plain(options.title))
        contains(figure, count, pd.concat([one.rows for one in series]))
        yield figure, axes


def outcome(axes: Sequence[Axes]) -> Any:
    """Return what a picture returns: its Axes, or an array of them where there are several."""
    if len(axes) == 1:
        return shown(axes[0])
    array = np.empty(len(axes), dtype=object)
    array[:] = axes
    return shown(array)


def label_outer(axes: Sequence[Axes], x: str, y: str) -> None:
    """Write the names of the axes below the lowest panel of each column, and once left of all rows."""
    across = min(len(axes), ACROSS)
    if len(axes) > across:  # short panels have no room for a name each
        figure_of(axes[0]).supylabel(y, fontsize=rcParams["axes.labelsize"])
        y = ""
    for i, axis in enumerate(axes):
        if i + across >= len(axes):
            axis.set_xlabel(x)
        if i % across == 0:
            axis.set_ylabel(y)


def step_columns(axis: Any, steps: Sequence[int]) -> None:
    """Make an axis one of columns 0, 1, ..., one for each checkpoint, and name them by their steps."""
    names = [f"{step:,}" if step >= 10000 else str(step) for step in steps]
    axis.set_major_locator(_Columns(names))

    def name(place: float, _: int | None = None) -> str:
        whole = round(place)
        return names[whole] if abs(place - whole) < 1e-6 and 0 <= whole < len(names) else ""

    axis.set_major_formatter(FuncFormatter(name))


class _Columns(Locator):
    """Ticks at every column, or at every so many of them where their names would meet."""

    axis: Any  # which Matplotlib sets

    def __init__(self, names: Sequence[str]) -> None:
        self.count, self.longest = len(names), max(map(len, names), default=1)

    def __call__(self) -> list[int]:
        room = self.axis.get_tick_space() * LETTERS / (self.longest + 2)
        wanted = self.count / max(room, 1.0)
        every = next(step * 10**power for power in range(9) for step in (1, 2, 5) if step * 10**power >= wanted)
        return list(range(0, self.count, every))


def explain_panels(figure: Figure, axes: Sequence[Axes], handles: Sequence[Any], options: Options) -> None:
    """Put one legend outside of all panels, made of artists by their labels."""
    entries = [(str(handle.get_label()), handle) for handle in handles]
    if options.ax is None:
        explain(figure, axes, entries, None)
    else:
        explain_beside(options.ax, entries, None)


def say(figure: Figure, counts: dict[str, int], kind: str = "checkpoint") -> None:
    """Keep a line about what a picture leaves out, by reason."""
    for reason, count in counts.items():
        if count:
            remark(figure, f"{count} {kind}{'s' if count > 1 else ''} left out: {reason}")
