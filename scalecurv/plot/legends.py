"""One explanation for a whole figure: a legend outside of its panels, or a colour bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalecurv.plot.canvas import figure_of
from scalecurv.plot.encoding import Bar, Entry, Look
from scalecurv.plot.style import sequential

NARROW = 4.5  # inches: a narrower figure has its legend below, where there is room for it
POINT = 1 / 72  # inches


def room(figure: Figure) -> int:
    """Return the number of lines that a legend beside the panels can have without being longer than the figure."""
    height = float(figure.get_size_inches()[1])
    return max(4, int((height - 0.3) / (1.45 * 0.85 * float(rcParams["font.size"]) * POINT)))


Explained = Entry | tuple[str, Line2D | Patch]  # a label with a look, a heading without one, or a label with an artist


def explain(figure: Figure, axes: Sequence[Axes], entries: Sequence[Explained], bar: Bar | None) -> None:
    """Draw the legend of all panels to their right, and the bar of shades.

    The legend is below the panels where the figure is narrow, and where nothing tells lines apart. Equal entries count
    once.
    """
    if bar is not None:
        _draw_bar(figure, axes, bar)
    handles, labels, headings = _drawn(entries)
    if handles:
        narrow = float(figure.get_size_inches()[0]) < NARROW or not any(isinstance(e, Entry) for e in entries)
        place: Any = "outside lower center" if narrow else "outside right upper"
        if narrow:
            handles, labels, headings = _drawn(_flat(entries))
        columns = _columns(figure, labels) if narrow else 1
        _write(figure.legend(handles, _names(labels), loc=place, ncols=columns), labels, headings)


def explain_beside(axes: Axes, entries: Sequence[Explained], bar: Bar | None) -> None:
    """Draw the legend of one panel, whose figure is the user's: outside of the panel, at its right."""
    if bar is not None:
        _draw_bar(figure_of(axes), [axes], bar)
    handles, labels, headings = _drawn(entries)
    if handles:
        legend = axes.legend(handles, _names(labels), loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        _write(legend, labels, headings)


def _drawn(entries: Sequence[Explained]) -> tuple[list[Any], list[str], list[bool]]:
    """Return an artist and a label for each distinct entry, and whether it is a heading."""
    handles: list[Any] = []
    labels, headings = [], []
    for entry in dict.fromkeys(entries):
        label, look = (entry.label, entry.look) if isinstance(entry, Entry) else entry
        headings.append(look is None)
        labels.append(label)
        if isinstance(look, Look):
            line: dict[str, Any] = {"linestyle": look.dash, "marker": look.marker, "linewidth": look.width}
            handles.append(Line2D([], [], color=look.color, **line))
        else:
            handles.append(Line2D([], [], linestyle="none") if look is None else look)
    return handles, labels, headings


def _flat(entries: Sequence[Explained]) -> list[Explained]:
    """Return the entries without headings, each with its heading before it: columns would tear them apart."""
    found: list[Explained] = []
    heading = ""
    for entry in entries:
        if isinstance(entry, Entry) and entry.look is None:
            heading = f"{entry.label} = "
        else:
            found.append(Entry(heading + entry.label, entry.look) if isinstance(entry, Entry) else entry)
    return found


def _names(labels: Sequence[str]) -> list[str]:
    return [str(i) for i in range(len(labels))]  # Matplotlib hides a label that begins with an underscore


def _write(legend: Legend, labels: Sequence[str], headings: Sequence[bool]) -> None:
    for text, label, heading in zip(legend.get_texts(), labels, headings, strict=True):
        text.set_text(label)
        if heading:
            text.set_fontstyle("italic")


def _columns(figure: Figure, labels: Sequence[str]) -> int:
    """Return the largest number of columns whose legend is no wider than the figure."""
    em = 0.85 * float(rcParams["font.size"]) * POINT
    beside = (
        rcParams["legend.handlelength"] + rcParams["legend.handletextpad"] + rcParams["legend.columnspacing"]
    ) * em
    for count in range(len(labels), 1, -1):
        widths = [0.55 * em * max(map(len, column)) + beside for column in np.array_split(np.array(labels), count)]
        if sum(widths) <= float(figure.get_size_inches()[0]):
            return count
    return 1


def _draw_bar(figure: Figure, axes: Sequence[Axes], bar: Bar) -> None:
    narrow = float(figure.get_size_inches()[0]) < NARROW
    where: dict[str, Any] = {"location": "bottom", "aspect": 30} if narrow else {"location": "right", "aspect": 30}
    drawn = figure.colorbar(
        ScalarMappable(bar.norm, sequential()), ax=np.asarray(axes).ravel().tolist(), pad=0.02, fraction=0.06, **where
    )
    drawn.set_label(bar.label)
    drawn.outline.set_visible(False)
    if bar.ticks is not None:
        drawn.set_ticks(list(bar.ticks), labels=list(bar.ticks.values()))
        drawn.ax.minorticks_off()
