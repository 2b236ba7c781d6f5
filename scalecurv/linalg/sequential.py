"""When to stop drawing terms: at a few looks fixed in advance, once the interval is inside the tolerance."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from scalecurv.estimate import Estimate, Status

FIRST_LOOK = 32  # fewer independent terms than about 30 make a Student interval too narrow


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
    rtol: float,
    limit: int,
    watch: tuple[str, ...] | None = None,
) -> dict[str, Estimate]:
    """Look at terms(32), terms(64), ... until every watched estimate (default: all) is inside `rtol`, or `limit`.

    `terms(m)` returns the rows of probes 0 .. m-1; looking more often than at doublings would make intervals
    too narrow, because it stops at a lucky moment. Each estimate says by its status whether it converged.
    """
    results: dict[str, Estimate] = {}
    for m in looks(limit):
        rows = terms(m)
        results = {name: settle(estimate(rows), rtol) for name, estimate in estimators.items()}
        if m >= FIRST_LOOK and all(results[name].status is Status.CONVERGED for name in watch or results):
            break
    return results


def settle(estimate: Estimate, rtol: float) -> Estimate:
    """Raise `budget` to `converged` where the interval is inside the tolerance."""
    if estimate.status is Status.BUDGET and estimate.num_samples >= FIRST_LOOK and estimate.within(rtol):
        return estimate.with_status(Status.CONVERGED)
    return estimate
