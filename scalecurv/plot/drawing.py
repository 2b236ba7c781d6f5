"""One line with its intervals: bars or a band, hollow markers for less sure numbers, arrows for ends out of sight."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from scalecurv.plot.encoding import Look
from scalecurv.plot.style import BAND_ALPHA, COMPANION, FAILED_MARK, GREY, LOWER_BOUND, OPEN

INTERVALS = ("auto", "band", "bars", "none")
FEW_POINTS = 90  # in a panel: bars are told apart up to here, and a band is clearer beyond
MARKED = 60  # points of a line that get a marker each
INVISIBLE = 0.008  # of the height of a panel: an interval of this length is as thick as a line
WORDS = {
    "budget": "budget: the interval is wider than asked",
    "lower_bound": "lower bound: the truth is here or above",
    "inconsistent": "inconsistent: two routes disagree",
}


@dataclass
class Panel:
    """An Axes with the ends of its y axis, and what the legend must explain of what was drawn in it."""

    axes: Axes
    low: float
    high: float
    mode: str
    many: bool = False  # lines: bands are fainter then
    statuses: set[str] = field(default_factory=set)
    cut: int = 0  # ends of intervals that are beyond the axis
    open: int = 0  # infinite ends
    failed: int = 0
    lengths: list[float] = field(default_factory=list)  # of the longest interval of each line, as a share of the axis

    def line(
        self,
        x: np.ndarray,
        numbers: tuple[np.ndarray, np.ndarray, np.ndarray],
        status: np.ndarray,
        failed: np.ndarray,
        look: Look,
        companion: bool = False,
    ) -> None:
        """Draw values with the ends of their intervals over x: `numbers` are value, lower and upper.

        A missing value leaves no gap, unless it `failed`: that breaks the line, and is marked at the foot. A companion
        is thin and dashed, and has no markers.
        """
        kept = np.isfinite(numbers[0]) | failed
        order = np.flatnonzero(kept)[np.argsort(x[kept], kind="stable")]
        x, status, failed = x[order], status[order], failed[order] & ~np.isfinite(numbers[0][order])
        value, lower, upper = (part[order] for part in numbers)
        dash, width = (COMPANION, 0.6 * look.width) if companion else (look.dash, look.width)
        self.axes.plot(x, value, color=look.color, linestyle=dash, linewidth=width, zorder=3 - companion)
        if not companion:
            self._marks(x, value, status, look)
        if failed.any():
            self.failed += int(failed.sum())
            foot: dict[str, Any] = {"transform": self.axes.get_xaxis_transform(), "clip_on": False, "zorder": 4}
            self.axes.plot(x[failed], np.zeros(failed.sum()), FAILED_MARK, color=look.color, markersize=5, **foot)
        self._intervals(x, value, lower, upper, look, 0.5 if companion else 1.0)

    def _marks(self, x: np.ndarray, value: np.ndarray, status: np.ndarray, look: Look) -> None:
        hollow = np.isin(status, OPEN)
        marks: dict[str, Any] = {"linestyle": "none", "color": look.color, "zorder": 4}
        size = 3.6 if len(x) <= MARKED / 2 else 2.6
        if len(x) <= MARKED and not self.many:
            self.axes.plot(x[~hollow], value[~hollow], marker=look.marker, markersize=size, **marks)
        for name in sorted(set(status[hollow])):
            there = np.flatnonzero(hollow & (status == name))
            there = there[:: -(-len(there) // MARKED)]  # of each status some are marked, however rare it is
            self.statuses.add(name)
            shape = LOWER_BOUND if name == "lower_bound" else FAILED_MARK.upper() if name == "inconsistent" else "o"
            hole: dict[str, Any] = {
                "markerfacecolor": self.axes.get_facecolor(),
                "markeredgewidth": 1.0,
                "markersize": size + 0.8,
            }
            self.axes.plot(x[there], value[there], marker=shape, **hole, **marks)

    def _intervals(
        self, x: np.ndarray, value: np.ndarray, lower: np.ndarray, upper: np.ndarray, look: Look, strength: float
    ) -> None:
        if self.mode == "none":
            return
        low, high = np.clip(lower, self.low, self.high), np.clip(upper, self.low, self.high)
        wide = (upper > lower) & np.isfinite(value)
        if not wide.any():
            return
        ends = self.axes.transData.transform(np.column_stack([np.tile(x, 2), np.concatenate([low, high])]))[:, 1]
        self.lengths.append(float(np.nanmax(np.diff(ends.reshape(2, -1), axis=0)[0][wide]) / self.axes.bbox.height))
        band = self.mode == "band" and len(x) > 1
        if band:
            alpha = strength * (BAND_ALPHA / 2 if self.many else BAND_ALPHA)
            self.axes.fill_between(x, low, high, color=look.color, alpha=alpha, linewidth=0, zorder=2)
        else:
            thin: dict[str, Any] = {"linewidth": 0.8 * min(look.width, 1.2), "alpha": 0.9 * strength, "zorder": 2.5}
            self.axes.vlines(x[wide], low[wide], high[wide], color=look.color, **thin)
        inside = wide & (value >= self.low) & (value <= self.high)
        for beyond, edge, arrow in ((lower < self.low, self.low, "v"), (upper > self.high, self.high, "^")):
            there = inside & beyond
            ends = lower if arrow == "v" else upper
            self.open += int((there & np.isinf(ends)).sum())
            self.cut += int((there & np.isfinite(ends)).sum())
            if (
                there.any()
            ):  # an empty line that is not clipped lies at the corner of the figure, and the layout counts it
                style: dict[str, Any] = {"color": look.color, "alpha": strength, "clip_on": False, "zorder": 4}
                self.axes.plot(x[there], np.full(there.sum(), edge), arrow, markersize=3.4, **style)


def notes(panels: list[Panel], confidences: Iterable[float] = ()) -> list[tuple[str, Line2D]]:
    """Return the entries of the legend on what markers, arrows and intervals, of these confidences, mean."""
    found: list[tuple[str, Line2D]] = []
    hole: dict[str, Any] = {"linestyle": "none", "color": GREY, "markerfacecolor": "none", "markersize": 5}
    for status, words in WORDS.items():
        if any(status in panel.statuses for panel in panels):
            shape = LOWER_BOUND if status == "lower_bound" else "X" if status == "inconsistent" else "o"
            found.append((words, Line2D([], [], marker=shape, **hole)))
    if any(panel.failed for panel in panels):
        found.append(("failed: no number", Line2D([], [], linestyle="none", marker=FAILED_MARK, color=GREY)))
    cut, endless = sum(panel.cut for panel in panels), sum(panel.open for panel in panels)
    if cut or endless:
        ways = [f"{cut} beyond the axis"] * (cut > 0) + [f"{endless} open"] * (endless > 0)
        arrow = Line2D([], [], linestyle="none", marker="^", color=GREY, markersize=3.4)
        found.append((f"ends of intervals: {', '.join(ways)}", arrow))
    lengths = [length for panel in panels for length in panel.lengths]
    levels = [f"{100 * level:.4g}" for level in sorted({*confidences}) if level < 1]
    words = f"intervals: {' to '.join(dict.fromkeys([levels[0], levels[-1]]))} %" if levels else "intervals"
    if lengths and (levels or max(lengths) < INVISIBLE):
        hidden = " within the lines" if max(lengths) < INVISIBLE else ""
        found.append(
            (f"{words},{hidden}" if levels and hidden else f"{words}{hidden}", Line2D([], [], linestyle="none"))
        )
    return found
