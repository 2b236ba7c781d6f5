"""Certified intervals of the k outermost eigenvalues, from a space and bounds on what it leaves out."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from scalecurv.linalg.krylov.block_space import BlockSpace
from scalecurv.linalg.krylov.extremes import DELTA, NEAR_ZERO, rounding_of
from scalecurv.linalg.krylov.in_size import in_size, largest_in_size, possible_splits
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.stopping import Tolerance

Which = Literal["LA", "SA", "LM"]
TINY = np.finfo(np.float64).tiny
COARSE = "rounding alone is wider than the tolerance: give a larger rtol, or products in float64"


@dataclass(frozen=True)
class Question:
    """The eigenvalues that are asked for: the `k` largest ("LA"), smallest ("SA") or largest in size ("LM") of n.

    A value is wanted to rtol |value|, or to rtol |A| / 10 where it is closer to zero than |A| / 10, and its residual
    |A u - theta u| to no more than that. `noise` bounds the norm of what the arithmetic adds to A.
    """

    k: int
    which: Which
    n: int
    rtol: float
    noise: float
    dtype: torch.dtype

    @property
    def confidence(self) -> float:
        """The probability that all intervals hold at once: the bound of each end fails with a chance of DELTA."""
        return 1 - (2 * DELTA if self.which == "LM" else DELTA)

    def split(self, values: np.ndarray, k: int) -> tuple[int, int]:
        """Return how many of the `k` values that are asked for first lie at the upper and at the lower end."""
        k = min(k, len(values))
        p = {"LA": k, "SA": 0}.get(self.which)
        p = largest_in_size(values, k) if p is None else p
        return p, k - p

    def outermost(self, values: np.ndarray, k: int) -> np.ndarray:
        """Return the indices of the `k` values that are asked for first, ascending."""
        return self.ends(len(values), *self.split(values, k))

    def ends(self, count: int, p: int, q: int) -> np.ndarray:
        """Return the indices of the last p and the first q of `count` values, ascending."""
        return np.unique(np.r_[: min(q, count), max(count - p, 0) : count])

    def slack(self, norm: float, num_matvecs: int) -> float:
        """Return a bound on the error of a Ritz value by rounding."""
        return max(rounding_of(norm, self.dtype, num_matvecs), self.noise)

    def tolerance(self, norm: float) -> Tolerance:
        return Tolerance(self.rtol, NEAR_ZERO * norm)


def unsettled(space: BlockSpace, asked: Question, splits: tuple[int, int] | None = None) -> np.ndarray:
    """Return the indices of the Ritz pairs that are asked for and not yet known, by residual and gap.

    Each residual r is wanted within the tolerance, and the error of each value within a quarter: it is about r^2 / gap,
    with the gap to the first value that is not asked for. Rounding sets a floor for both. `splits` are the numbers of
    pairs asked for at the upper and the lower end.
    """
    values, residuals = space.values, space.residuals
    p, q = asked.split(values, asked.k) if splits is None else splits
    chosen = asked.ends(len(values), p, q)
    if not space.coupling.shape[1]:
        return chosen[:0]
    if len(values) < p + q + 1:
        return chosen
    slack = asked.slack(space.size, space.num_matvecs)
    wanted = asked.rtol * np.maximum(np.abs(values), NEAR_ZERO * space.size)
    gaps = np.where(np.arange(len(values)) < q, values[q] - values, values - values[len(values) - p - 1])
    errors = residuals * (residuals / np.maximum.reduce([gaps, residuals, np.full_like(gaps, TINY)]))
    known = (errors <= np.maximum(wanted / 4, slack)) & (residuals <= np.maximum(wanted, slack))
    return chosen[~known[chosen]]


@dataclass(frozen=True)
class Proven:
    """Bounds on the k largest eigenvalues from above, descending, and on the k smallest from below, ascending."""

    low: np.ndarray
    high: np.ndarray

    def within(self, below: float, above: float) -> "Proven":
        """Return the bounds where the whole spectrum is between `below` and `above`."""
        return Proven(np.maximum(self.low, below), np.minimum(self.high, above))

    def narrowed(self, space: BlockSpace, below: float, above: float) -> "Proven":
        """Return the bounds where below <= R A R <= above outside of `space` also holds; see `BlockSpace.bounds`."""
        k = len(self.low)
        low, high = space.bounds(below, k)[:k], space.bounds(above, k)[::-1][:k]
        return Proven(np.maximum(self.low, low), np.minimum(self.high, high))


@dataclass(frozen=True)
class Enclosed:
    """The eigenvalues that are asked for, in their order, and the index of the Ritz pair of each in ascending order.

    closed: True where no interval needs to be shorter: each is within the tolerance, or little more than rounding.
    splits: the most values that may be among the k at the upper and at the lower end.
    """

    values: tuple[Estimate, ...]
    pairs: np.ndarray
    closed: bool
    splits: tuple[int, int]


def enclosed(asked: Question, space: BlockSpace, proven: Proven) -> Enclosed:
    """Return the eigenvalues with their intervals, from the Ritz value to the bound on the eigenvalue of that rank."""
    values, spent = space.values, space.num_matvecs
    k, slack, tolerance = min(asked.k, len(values)), asked.slack(space.size, spent), asked.tolerance(space.size)
    raw = Estimate(0.0, NAN, 0.0, 0.0, asked.confidence, 1, spent, "lanczos, checked by further runs", Status.BUDGET)

    def interval(value: float, lower: float, upper: float) -> Estimate:
        lower, upper = max(lower, float(proven.low[0])) - slack, min(upper, float(proven.high[0])) + slack
        found = replace(raw, value=value, lower=min(lower, upper, value), upper=max(lower, upper, value))
        if not lower <= value <= upper:
            return found.with_status(Status.INCONSISTENT)
        met = tolerance.settle(found, Status.CERTIFIED)
        coarse = met.status is Status.BUDGET and slack > tolerance.at(value)
        return replace(met, method=f"{raw.method}, {COARSE}") if coarse else met

    def closed(*estimates: Estimate) -> bool:
        asked_for = [(e.halfwidth - slack, tolerance.at(e.value)) for e in estimates]
        return len(values) >= asked.k and all(half <= max(wanted - slack, slack) for half, wanted in asked_for)

    ritz = values.tolist()  # floats of Python, as every estimate has
    tops = [interval(v, v, max(v, float(high))) for v, high in zip(ritz[::-1][:k], proven.high, strict=False)]
    bottoms = [interval(v, min(v, float(low)), v) for v, low in zip(ritz[:k], proven.low, strict=False)]
    if asked.which == "LA":
        return Enclosed(tuple(tops), np.arange(len(values))[::-1][:k], closed(*tops), (k, 0))
    if asked.which == "SA":
        return Enclosed(tuple(bottoms), np.arange(k), closed(*bottoms), (0, k))
    chosen, (least, most) = in_size(tops, bottoms, tolerance), possible_splits(tops, bottoms)
    pairs = np.array([len(values) - 1 - i if i >= 0 else -1 - i for _, i in chosen])
    all_closed = closed(*tops[:most], *bottoms[: k - least])
    return Enclosed(tuple(e for e, _ in chosen), pairs, all_closed, (most, k - least))
