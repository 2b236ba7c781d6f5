"""Lines told apart: their colours, dashes and markers, and the legend or the colour bar that explains them."""

import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize

from scalecurv.plot.attributes import LINE, attribute, in_order, is_numeric, telling_apart
from scalecurv.plot.canvas import remark
from scalecurv.plot.labels import plain, shortened, told_apart, value_text
from scalecurv.plot.selection import Selection, identity
from scalecurv.plot.style import DASHES, MARKERS, Dash, palette, sequential

FEW = 6  # values of a numeric attribute that get colours of the cycle; more are shades on a bar


@dataclass(frozen=True)
class Look:
    """The way that a line is drawn."""

    color: Any
    dash: Dash = "-"
    marker: str = "o"
    width: float = 1.4


@dataclass(frozen=True)
class Line:
    """The rows of one line, as positions among the rows of a selection, and how it looks."""

    rows: np.ndarray
    look: Look


@dataclass(frozen=True)
class Entry:
    """One line of a legend; a heading has no look."""

    label: str
    look: Look | None


@dataclass(frozen=True)
class Bar:
    """A colour bar: shades of ordered values. `ticks` name some of them where they are no numbers."""

    label: str
    norm: Normalize
    ticks: dict[float, str] | None = None


@dataclass
class Encoding:
    """All lines of a picture with what explains them."""

    lines: list[Line]
    entries: list[Entry] = field(default_factory=list)
    bar: Bar | None = None
    said: list[str] = field(default_factory=list)

    def tell(self, figure: Any) -> None:
        """Keep what is to be said about the choice of colours."""
        for text in self.said:
            remark(figure, text)


def encode(selection: Selection, color: str | None, style: str | None, most: int, by: str | None = None) -> Encoding:
    """Return the lines of a selection: one for each run and way of analysis, told apart by `color` and `style`.

    Both name an attribute or a SQL expression. Where neither is given, the lines are told apart by what differs
    between them, besides `by`, which panels show. `most` is the number of lines that a legend may have. Colours and
    dashes never repeat: where there are too few, shades on a bar take their place.
    """
    rows, said = selection.rows, []
    keys = rows.groupby(identity(rows), dropna=False, sort=False).ngroup().to_numpy() if identity(rows) else None
    whole = np.zeros(len(rows), dtype=int) if keys is None else keys
    if color is None and style is None:
        color, style = telling_apart(selection, whole, by)
    colored = None if color is None else attribute(selection, color)
    dashed = None if style is None else attribute(selection, style)
    for name, values in ((color, colored), (style, dashed)):
        if values is not None and values.nunique(dropna=False) == 1 and len(np.unique(whole)) > 1:
            more = f"; run_{name} differs between runs" if f"run_{name}" in rows else ""
            said.append(f"every line has the same {name} ({value_text(values.iloc[0])}){more}")
    frame = pd.DataFrame({"line": whole, "color": _codes(colored, len(rows)), "dash": _codes(dashed, len(rows))})
    grouped = {key: np.asarray(index) for key, index in frame.groupby(["line", "color", "dash"]).indices.items()}
    width = 1.4 if len(grouped) <= 8 else 1.1 if len(grouped) <= 16 else 0.7
    colors, dashes = _order(colored), _order(dashed)
    if len(dashes) > len(DASHES):
        said.append(
            f"{style} has {len(dashes)} values and there are {len(DASHES)} dashes: color= or by= shows them all"
        )
        dashed, dashes = None, []
    looks, entries, bar = _colors(color, colored, colors, style is None, width, most)
    drawn = []
    for (_, shade, dash), index in grouped.items():
        look = looks[shade] if colors else Look(palette()[0], width=width)
        if dashes:
            look = Look(look.color, DASHES[dash], MARKERS[dash], width)
        drawn.append((shade, dash, Line(index, look)))
    if dashes:
        neutral = "#444444"
        if len(dashes) > 1:
            styles = [Look(neutral, DASHES[i], MARKERS[i], width) for i in range(len(dashes))]
            entries += _entries(style, dashes, styles)
    lines = [line for _, _, line in sorted(drawn, key=lambda one: one[:2])]
    return Encoding(lines, entries, bar, said)


def _codes(values: pd.Series | None, count: int) -> np.ndarray:
    """Return the position of each row's value among all values in order; 0 without values."""
    if values is None:
        return np.zeros(count, dtype=int)
    position: dict[Hashable, int] = {key: i for i, key in enumerate(in_order(values))}
    return np.array([position[None if pd.isna(one) else one] for one in values.to_list()])


def _order(values: pd.Series | None) -> list[Any]:
    return [] if values is None else in_order(values)


def _colors(
    name: str | None, values: pd.Series | None, order: list[Any], free: bool, width: float, most: int
) -> tuple[list[Look], list[Entry], Bar | None]:
    """Return the look of each value in order, with legend entries, or with a bar where they are many."""
    cycle = palette()
    if values is None or not order:
        return [], [], None
    shades = is_numeric(values) and len(order) > FEW and name != "run"
    if not shades and len(order) <= len(cycle):
        looks = [Look(color, width=width) for color in cycle[: len(order)]]
        return looks, _entries(name, order, looks) if len(order) > 1 else [], None
    if not shades and free and len(order) <= min(len(cycle) * len(DASHES), most):
        pairs = itertools.islice(itertools.product(range(len(DASHES)), cycle), len(order))
        looks = [Look(color, DASHES[dash], MARKERS[dash], width) for dash, color in pairs]
        return looks, _entries(name, order, looks), None
    return _shades(str(name), values, order, shades, width)


def _shades(
    name: str, values: pd.Series, order: list[Any], numeric: bool, width: float
) -> tuple[list[Look], list[Entry], Bar]:
    known = [value for value in order if value is not None]
    places = np.array(known if numeric else range(len(known)), dtype=float)
    geometric = numeric and places.min() > 0 and places.max() / places.min() >= 30
    norm = LogNorm(places.min(), places.max()) if geometric else Normalize(places.min(), places.max())
    shade = sequential()
    looks = [Look(shade(norm(place)), width=width) for place in places]
    looks += [Look("#8A8A8A", width=width)] * (len(order) - len(known))
    if numeric:
        return looks, [], Bar(plain(name), norm)
    shown = np.unique(np.linspace(0, len(known) - 1, min(len(known), 8)).round().astype(int))
    ticks = {float(i): plain(shortened(value_text(known[i]), 24)) for i in shown}
    return looks, [], Bar(f"{plain(name)} ({len(known)})", norm, ticks)


def _entries(name: str | None, order: list[Any], looks: list[Look]) -> list[Entry]:
    """Return the legend of an attribute: a heading with its name, then its values; runs need no heading."""
    heading = [] if name in ("run", LINE, None) else [Entry(plain(name), None)]
    texts = told_apart([value_text(value) for value in order])
    return heading + [Entry(plain(text), look) for text, look in zip(texts, looks, strict=True)]
