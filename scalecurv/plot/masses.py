"""Spectral densities as numbers: curves smoothed by one width, and the share of eigenvalues in each cell of an axis."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.plot.axes import Scale

FINEST = 20000  # points of a curve
DECADES_APART = 100.0  # largest eigenvalue over what is told from 0, from which their axis is logarithmic
PADDING = 0.02  # of the length of the axis, at each end
PER_WIDTH = 8  # points of a curve in each width of its smoothing


@dataclass(frozen=True)
class Spectrum:
    """The rule of one checkpoint, and the intervals of lambda_min and lambda_max, NaN where they are not stored.

    `step` is None for a rule that comes without a store.
    """

    step: int | None
    rule: Any
    num_params: int | None
    smallest: tuple[float, float]
    largest: tuple[float, float]


def common_width(spectra: list[Spectrum]) -> float:
    """Return the width that smooths all spectra: the largest of those that each of them can be smoothed by.

    0 where all of them are exact: their eigenvalues are counted, and nothing is smoothed.
    """
    if all(one.rule.exact for one in spectra):
        return 0.0
    return max(float(one.rule.density().width) for one in spectra if not one.rule.exact)


def even_grid(rule: Any, width: float) -> np.ndarray:
    """Return points that a density smoothed by `width` lies between, PER_WIDTH of them in each width.

    Raises Misuse where they are more than FINEST.
    """
    low, high = float(rule.nodes.min()) - 5 * width, float(rule.nodes.max()) + 5 * width
    count = int(np.ceil((high - low) / width * PER_WIDTH)) + 1
    if count > FINEST:
        raise Misuse(f"sigma is {width:g}, a tiny part of the spectrum from {low:g} to {high:g}; give a larger one")
    return np.linspace(low, high, count)


def shares(rule: Any, width: float, edges: np.ndarray) -> np.ndarray:
    """Return the mean density in each cell between `edges`: the share of eigenvalues in it, by its length.

    Times the lengths of the cells they sum to the share between the first and the last edge. A width of 0 counts the
    nodes, each with its weight.
    """
    if width == 0:
        mass, _ = np.histogram(rule.nodes, edges, weights=rule.weights)
        return mass / np.diff(edges)
    grid = even_grid(rule, width)
    values = rule.density(width, grid).values
    below = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(grid))])
    return np.diff(np.interp(edges, grid, below)) / np.diff(edges)


def extent(spectra: list[Spectrum], width: float, scale: Scale) -> tuple[float, float]:
    """Return the ends of an axis that holds all spectra, smoothed by `width`, and the marks of their ends."""
    marks = [float(np.mean(side)) for one in spectra for side in (one.smallest, one.largest) if np.isfinite(side).all()]
    low = min([*marks, *(float(one.rule.nodes.min()) - 5 * width for one in spectra)])
    high = max([*marks, *(float(one.rule.nodes.max()) + 5 * width for one in spectra)])
    first, last = scale.places([low, high])
    pad = PADDING * (last - first) or 0.5
    padded = scale.values([first - pad, last + pad])
    return float(padded[0]), float(padded[1])


def cell_edges(spectra: list[Spectrum], width: float, scale: Scale, count: int) -> np.ndarray:
    """Return the edges of `count` cells of equal length along the axis that holds all spectra."""
    first, last = scale.places(extent(spectra, width, scale))
    return scale.values(np.linspace(first, last, count + 1))


def eigenvalue_scale(spectra: list[Spectrum], width: float, kind: str) -> Scale:
    """Return the scale of the axis of eigenvalues; "symlog" is linear below a power of ten above what is told from 0.

    That is the width of the smoothing, or 1e-4 of the largest eigenvalue where all are known. "auto" is symlog where it
    has two decades or more on one side of 0, else linear.
    """
    top = max(float(np.abs(one.rule.nodes).max()) for one in spectra) or 1.0
    threshold = 10.0 ** np.ceil(np.log10(max(width, 1e-4 * top)) - 1e-9)
    if kind == "linear" or (kind == "auto" and top < DECADES_APART * threshold):
        return Scale("linear")
    return Scale("symlog", float(threshold), 1.0)


def single_peak(one: Spectrum, width: float, edges: np.ndarray) -> float:
    """Return the density that a single eigenvalue shows as: 1/P at the peak of its curve, or in its cell."""
    count = one.num_params or len(one.rule.nodes)
    return float(1 / (count * np.sqrt(2 * np.pi) * width)) if width else float(1 / (count * np.diff(edges).max()))
