"""The rule for when to stop sampling: at looks fixed in advance, once the interval is within the tolerance."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scalecurv.statistics.estimate import Estimate, Status

FIRST_LOOK = 32  # fewer independent terms than about 30 make a Student interval too narrow
MARGIN, MOST, STEP = 1.1, 4, 16  # of the number of terms at the next look, over what is needed and over the last one


@dataclass(frozen=True)
class Tolerance:
    """The tolerance rtol max(|value|, floor).

    The floor serves values that are small by cancellation, which cannot be known to a share of themselves.
    """

    rtol: float
    floor: float = 0.0

    def at(self, value: float) -> float:
        """Return the half-width that is asked for at this value, in its units."""
        return self.rtol * max(abs(value), self.floor)

    def terms_needed(self, estimate: Estimate) -> float:
        """Return the number of independent terms at which the interval is expected to be within the tolerance.

        Half-widths fall as one over the root of their number.

        Example:
            >>> sampled = Estimate(10.0, 0.5, 9.0, 11.0, 0.95, 32, 32, "mean", Status.BUDGET)
            >>> Tolerance(0.05).terms_needed(sampled)
            128.0
        """
        wanted = self.at(estimate.value)
        return estimate.num_samples * (estimate.halfwidth / wanted) ** 2 if wanted else math.inf

    def beyond(self, estimate: Estimate, slack: float) -> bool:
        """Return True where `slack`, a part of the half-width that no sampling narrows, is more than the tolerance.

        Example:
            >>> Tolerance(0.05).beyond(Estimate.exact(10.0, "sum"), 0.6)
            True
        """
        return slack > self.at(estimate.value)

    def settle(self, estimate: Estimate, status: Status = Status.CONVERGED) -> Estimate:
        """Return the estimate with `budget` raised to `status` where its interval is within the tolerance.

        The method names the absolute tolerance where the floor decided. Other statuses stay as they are.
        """
        if estimate.status is not Status.BUDGET or not 0 <= estimate.halfwidth <= self.at(estimate.value):
            return estimate
        if abs(estimate.value) >= self.floor:
            return replace(estimate, status=status)
        method = f"{estimate.method}, absolute tolerance {self.at(estimate.value):.2g}"
        return replace(estimate, status=status, method=method)


def looks(limit: int) -> Iterator[int]:
    """Yield 32, 64, 128, ... below `limit`, and `limit` itself: the numbers of terms at which to look."""
    m = FIRST_LOOK
    while m < limit:
        yield m
        m *= 2
    yield limit


def following(count: int, needed: float, limit: int) -> int:
    """Return the number of terms at the next look after one at `count` terms: a tenth more than are `needed` by then.

    It is a multiple of 16 as `count` is, more than `count`, at most four times as much, and at most `limit`. A look at
    the number that an earlier look asked for is less lucky than one at each doubling, and overshoots less. (Stein 1945,
    Annals of Mathematical Statistics 16)

    Example:
        >>> following(32, 68.0, 1000), following(32, 33.0, 1000), following(32, math.inf, 1000), following(32, 900, 40)
        (80, 48, 128, 40)
    """
    wanted = min(MARGIN * needed, MOST * count)
    return min(max(math.ceil(wanted / STEP), count // STEP + 1) * STEP, limit)


def estimate_until(
    terms: Callable[[int], np.ndarray],
    estimators: Mapping[str, Callable[[np.ndarray], Estimate]],
    tolerances: Mapping[str, Tolerance],
    limit: int,
) -> dict[str, Estimate]:
    """Return the estimates from terms(32), terms(64), ... when each that has a tolerance meets it, or at `limit` terms.

    `terms(m)` returns the rows of probes 0 .. m-1. More looks than at doublings would make intervals too narrow,
    because the stop would come at a lucky moment. The status of an estimate is `converged` where it met its tolerance,
    which none does with a `limit` below 32.
    """
    results: dict[str, Estimate] = {}
    for m in looks(limit):
        rows = terms(m)
        results = {name: estimate(rows) for name, estimate in estimators.items()}
        if m < FIRST_LOOK:
            break
        results = {name: tolerances[name].settle(e) if name in tolerances else e for name, e in results.items()}
        if all(results[name].status is Status.CONVERGED for name in tolerances):
            break
    return results
