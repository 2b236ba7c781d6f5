"""Ranges of arithmetic expressions over boxes: interval arithmetic (Moore 1966), for arrays of intervals at once.

Each operation returns an interval that holds its value for every choice of numbers in the intervals of its operands. An
expression in which each of them occurs once gets its exact range where it is continuous; one in which some occurs
several times gets an interval that is never too short.
"""

from collections.abc import Callable
from functools import reduce

import numpy as np

Interval = tuple[np.ndarray, np.ndarray]  # lower and upper ends; NaN where a number is missing

_INCREASING: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {  # function, and where its domain begins
    "ln": (np.log, 0.0),
    "log": (np.log10, 0.0),  # as DuckDB has it
    "log10": (np.log10, 0.0),
    "log2": (np.log2, 0.0),
    "sqrt": (np.sqrt, 0.0),
    "exp": (np.exp, -np.inf),
    "cbrt": (np.cbrt, -np.inf),
    "tanh": (np.tanh, -np.inf),
    "atan": (np.arctan, -np.inf),
    "sinh": (np.sinh, -np.inf),
    "asinh": (np.arcsinh, -np.inf),
    "floor": (np.floor, -np.inf),
    "ceil": (np.ceil, -np.inf),
    "ceiling": (np.ceil, -np.inf),
}


def negated(x: Interval) -> Interval:
    """Return the range of -x."""
    return -x[1], -x[0]


def added(x: Interval, y: Interval) -> Interval:
    """Return the range of x + y."""
    lower, upper = x[0] + y[0], x[1] + y[1]
    missing = _missing(x, y)
    return np.where(~missing & np.isnan(lower), -np.inf, lower), np.where(~missing & np.isnan(upper), np.inf, upper)


def multiplied(x: Interval, y: Interval) -> Interval:
    """Return the range of x y; an end 0 times an infinite end is 0, for the numbers of an open interval are finite."""
    products = [_product(a, b) for a in x for b in y]
    return np.minimum.reduce(products), np.maximum.reduce(products)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    missing = np.isnan(a) | np.isnan(b)
    return np.where(~missing & ((a == 0) | (b == 0)), 0.0, a * b)


def inverted(x: Interval) -> Interval:
    """Return the range of 1/x: unbounded on the sides of 0 that x reaches."""
    lower, upper = x
    missing, across = _missing(x), (lower < 0) & (upper > 0)
    low = np.where(across | (upper == 0), -np.inf, 1 / upper)
    high = np.where(across | (lower == 0), np.inf, 1 / lower)
    zero = (lower == 0) & (upper == 0)
    return np.where(missing | zero, np.nan, low), np.where(missing | zero, np.nan, high)


def absolute(x: Interval) -> Interval:
    """Return the range of |x|."""
    lower, upper = np.abs(x[0]), np.abs(x[1])
    across = (x[0] < 0) & (x[1] > 0)
    return np.where(across, 0.0, np.minimum(lower, upper)), np.maximum(lower, upper)


def raised(x: Interval, exponent: float) -> Interval:
    """Return the range of x to a power that is the same number everywhere; a root is taken of x >= 0 alone."""
    if exponent < 0:
        return inverted(raised(x, -exponent))
    if exponent % 2 == 0:
        x = absolute(x)
    elif exponent % 1 != 0:
        x = np.maximum(x[0], 0.0), x[1]
    return x[0] ** exponent, x[1] ** exponent


def increasing(name: str, x: Interval) -> Interval | None:
    """Return the range of an increasing function, by its name in SQL; None for any other."""
    if name not in _INCREASING:
        return None
    function, begin = _INCREASING[name]
    lower, upper = (np.maximum(end, begin) for end in x)
    return function(lower), function(upper)


def largest(parts: list[Interval]) -> Interval:
    """Return the range of the largest of several numbers; missing ones do not count, as in SQL."""
    return reduce(np.fmax, (low for low, _ in parts)), reduce(np.fmax, (high for _, high in parts))


def pieces(x: Interval, count: int) -> Interval:
    """Return `count` intervals, along a last axis, that cover x; one with an infinite end stays whole."""
    lower, upper = x[0][..., None], x[1][..., None]
    edges = np.linspace(0.0, 1.0, count + 1)
    whole = ~(np.isfinite(lower) & np.isfinite(upper))
    low, high = np.where(whole, 0.0, lower), np.where(whole, 0.0, upper)
    cuts = low * (1 - edges) + high * edges  # no difference of the ends, which may overflow
    return np.where(whole, lower, cuts[..., :-1]), np.where(whole, upper, cuts[..., 1:])


def _missing(*intervals: Interval) -> np.ndarray:
    return reduce(np.logical_or, (np.isnan(end) for interval in intervals for end in interval))
