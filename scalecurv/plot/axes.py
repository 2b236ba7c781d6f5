"""Axes that show the data: scales chosen by it, and limits that one unsure number does not take over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.scale import LogScale, ScaleBase, SymmetricalLogScale
from matplotlib.ticker import Formatter, MaxNLocator, NullLocator, SymmetricalLogLocator

from scalecurv.errors import Misuse

SCALES = ("auto", "linear", "log", "symlog")
Limits = tuple[float | None, float | None]
WIDE = 30.0  # largest over smallest value from which a scale is logarithmic
STEPS_WIDE = 15.0
PADDING = 0.05  # of the length of an axis, at each end
CLOSEST = 0.65  # of the room that Matplotlib gives a tick and its label, between two ticks of a symlog axis
REACH = 2.0  # intervals are shown whole up to this many times their median length beyond the values


@dataclass(frozen=True)
class Scale:
    """The scale of an axis: its kind, and for symlog the size below which it is linear."""

    kind: str
    threshold: float = 1.0
    linear: float = 1.0  # length of the linear part on each side of 0, in decades

    def set_on(self, axes: Axes, which: str) -> None:
        """Give the scale to the x or the y axis."""
        options = {"linthresh": self.threshold, "linscale": self.linear} if self.kind == "symlog" else {}
        getattr(axes, f"set_{which}scale")(self.kind, **options)

    def places(self, values: Any) -> np.ndarray:
        """Return where values are along the axis, in its own length; what a logarithm cannot show is at -inf."""
        if self.kind == "linear":
            return np.asarray(values, dtype=float)
        maker: ScaleBase = (
            LogScale(None)
            if self.kind == "log"
            else SymmetricalLogScale(None, linthresh=self.threshold, linscale=self.linear)
        )
        values = np.asarray(values, dtype=float)
        shown = values > 0 if self.kind == "log" else np.ones(values.shape, dtype=bool)
        safe = np.where(shown & np.isfinite(values), values, 1.0)
        moved = np.asarray(maker.get_transform().transform_non_affine(safe))
        return np.where(np.isfinite(values) & shown, moved, np.where(values > 0, np.inf, -np.inf))

    def values(self, places: Any) -> np.ndarray:
        """Return the values at places along the axis."""
        places = np.asarray(places, dtype=float)
        if self.kind == "linear":
            return places
        if self.kind == "log":
            return np.asarray(10.0**places)
        transform = SymmetricalLogScale(None, linthresh=self.threshold, linscale=self.linear).get_transform()
        return np.asarray(transform.inverted().transform_non_affine(places))


def checked_scale(kind: str, which: str) -> str:
    """Return a kind of scale; raises Misuse unless it is one of SCALES."""
    if kind not in SCALES:
        raise Misuse(f"{which}scale is {kind!r}; choose from {', '.join(SCALES)}")
    return kind


def step_scale(steps: np.ndarray, kind: str = "auto") -> Scale:
    """Return the scale for steps: linear, or logarithmic with step 0 in sight where they are spaced geometrically."""
    steps = np.unique(steps[np.isfinite(steps)])
    positive = steps[steps > 0]
    if kind == "auto":
        kind = "log" if _geometric(positive) else "linear"
    if kind in ("log", "symlog") and len(positive) and len(steps) > len(positive):
        return Scale("symlog", float(positive[0]), 0.35)
    return Scale("log" if kind == "log" and len(positive) else "symlog" if kind == "symlog" else "linear")


def _geometric(steps: np.ndarray) -> bool:
    """Return True where steps lie more evenly on a logarithmic axis than on a linear one."""
    if len(steps) < 4 or steps[-1] / steps[0] < STEPS_WIDE:
        return False
    plain, logarithmic = np.diff(steps) / np.ptp(steps), np.diff(np.log(steps)) / np.ptp(np.log(steps))
    return bool(logarithmic.std() < 0.7 * plain.std())


def value_scale(value: np.ndarray, lower: np.ndarray, upper: np.ndarray, kind: str = "auto") -> Scale:
    """Return the scale for values: logarithmic where they span decades, on both sides of 0 where they have both signs.

    The linear part of symlog holds every point whose interval holds 0, unless that would be most of the axis.
    """
    sizes = np.abs(value[np.isfinite(value) & (value != 0)])
    if not len(sizes):
        return Scale("linear" if kind in ("auto", "log") else kind)
    unsure = (lower < 0) & (upper > 0) & np.isfinite(value)
    ends = np.maximum(np.abs(lower), np.abs(upper))[unsure]
    ends = ends[np.isfinite(ends) & (ends <= sizes.max())]
    edge = float(ends.max()) if len(ends) else float(sizes.min())
    threshold = 10.0 ** math.ceil(math.log10(max(edge, sizes.max() * 1e-12)) - 1e-9)
    positive = bool((value[np.isfinite(value)] > 0).all())
    if kind == "log" and not (value > 0).any():
        kind = "symlog"
    if kind != "auto":
        return Scale(kind, threshold)
    if positive:
        return Scale("log" if sizes.max() / sizes.min() >= WIDE else "linear")
    return Scale("symlog", threshold) if sizes.max() / threshold >= WIDE else Scale("linear")


def limits(
    scale: Scale, value: np.ndarray, lower: np.ndarray, upper: np.ndarray, also: Sequence[float] = ()
) -> tuple[float, float]:
    """Return the ends of an axis that shows all values, and their intervals as far as these are of a usual length.

    An end counts that is within REACH times the median length of the intervals, or the range of the values, from
    them. `also` are values that must be in sight.
    """
    shown = scale.places(np.concatenate([value[np.isfinite(value)], np.asarray(also, dtype=float)]))
    shown = shown[np.isfinite(shown)]
    if not len(shown):
        return (0.0, 1.0) if scale.kind != "log" else (0.1, 1.0)
    low, high = float(shown.min()), float(shown.max())
    below, above = scale.places(lower[~np.isnan(lower)]), scale.places(upper[~np.isnan(upper)])
    finite = np.isfinite(above) & np.isfinite(below)
    lengths = above[finite] - below[finite]
    reach = REACH * max(high - low, float(np.median(lengths)) if len(lengths) else 0.0)
    ends = np.concatenate([below, above])
    ends = ends[(ends >= low - reach) & (ends <= high + reach)]
    low, high = min([low, *ends]), max([high, *ends])
    pad = PADDING * (high - low) or (0.05 * abs(low) if scale.kind == "linear" else 0.3) or 0.5
    first, last = scale.values([low - pad, high + pad])
    return float(first), float(last)


def narrowed(found: tuple[float, float], wanted: Limits | None, which: str) -> tuple[float, float]:
    """Return limits with those ends replaced that the user gave; raises Misuse where they are in the wrong order."""
    first, last = wanted or (None, None)
    low, high = found[0] if first is None else first, found[1] if last is None else last
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise Misuse(f"the limits of the {which} axis are {low:g} and {high:g}; give a lower one, then an upper one")
    return low, high


def tidy_ticks(axes: Axes, scale: Scale, which: str, integer: bool = False) -> None:
    """Set ticks that are not crowded: whole numbers for what is counted, and no minor ones within a symlog axis."""
    axis = getattr(axes, f"{which}axis")
    if scale.kind == "linear" and integer:
        axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))  # and not every 80
    if scale.kind == "log":
        axis.set_minor_formatter(_TwosAndFives())
    if scale.kind == "symlog":
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(_Spaced(scale, axis.get_transform()))


class _TwosAndFives(Formatter):
    """Labels of 2 and 5 between powers of ten, where less than two decades are in sight and the axis has the room."""

    axis: Any  # which Matplotlib sets

    def __call__(self, value: float, pos: int | None = None) -> str:
        low, high = sorted(self.axis.get_view_interval())
        power = math.floor(math.log10(value) + 1e-9)
        digit = round(value / 10.0**power)
        decades = math.log10(high / low)
        if decades >= 2 or digit not in (2, 5) or self.axis.get_tick_space() < 2.5 * decades:
            return ""
        return rf"$\mathdefault{{{digit}\times10^{{{power}}}}}$"


class _Spaced(SymmetricalLogLocator):
    """Ticks of a symlog axis whose labels do not meet: 0 and the largest first, then those between that have room."""

    axis: Any

    def __init__(self, scale: Scale, transform: Any) -> None:
        super().__init__(transform)
        self.scale = scale

    def tick_values(self, vmin: float, vmax: float) -> Any:
        ticks = np.asarray(super().tick_values(vmin, vmax), dtype=float)
        low, high = sorted((vmin, vmax))
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        places = self.scale.places([low, high, *ticks])
        apart = CLOSEST * (places[1] - places[0]) / max(self.axis.get_tick_space(), 2)
        kept: list[int] = []
        for i in sorted(range(len(ticks)), key=lambda i: (ticks[i] != 0, -abs(ticks[i]))):
            if all(abs(places[2 + i] - places[2 + k]) >= apart for k in kept):
                kept.append(i)
        return ticks[sorted(kept)]
