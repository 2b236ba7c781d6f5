"""When to stop drawing terms: at a few looks fixed in advance, once the interval is inside the tolerance."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scalecurv.statistics.estimate import Estimate, Status

FIRST_LOOK = 32  # fewer independent terms than about 30 make a Student interval too narrow


@dataclass(frozen=True)
class Tolerance:
    """rtol |value|, and rtol `floor` where |value| is below it: what cancels is never known relative to itself."""

    rtol: float
    floor: float = 0.0

    def at(self, value: float) -> float:
        """The half-width that is asked for at this value, in its units."""
        return self.rtol * max(abs(value), self.floor)

    def settle(self, estimate: Estimate, status: Status = Status.CONVERGED) -> Estimate:
        """Raise `budget` to `status` where the interval is inside; say so where the floor took over."""
        if estimate.status is not Status.BUDGET or not 0 <= estimate.halfwidth <= self.at(estimate.value):
            return estimate
        if abs(estimate.value) >= self.floor:
            return replace(estimate, status=status)
        method = f"{estimate.method}, absolute tolerance {self.at(estimate.value):.2g}"
        return replace(estimate, status=status, method=method)


def looks(limit: int) -> Iterator[int]:
    """32, 64, 128, ... up to `limit`, and `limit` itself: the numbers of terms at which to look."""
    m = FIRST_LOOK
    while m < limit:
        yield m
        m *= 2
    yield limit


def estimate_until(
    terms: Callable[[int], np.ndarray],
    estimators: Mapping[str, Callable[[np.ndarray], Estimate]],
    tolerances: Mapping[str, Tolerance],
    limit: int,
) -> dict[str, Estimate]:
    """Look at terms(32), terms(64), ... until every estimate that has a tolerance is inside it, or `limit`.

    `terms(m)` returns the rows of probes 0 .. m-1; looking more often than at doublings would make intervals
    too narrow, because it stops at a lucky moment. Each estimate says by its status whether it converged.
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
