"""The eigenvalues that are largest in size, from certified intervals at both ends of a spectrum."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance

UNDECIDED = "which sign comes first is not decided; give a smaller rtol, or which='LA' and which='SA'"


def largest_in_size(values: np.ndarray, count: int) -> int:
    """Return how many of the `count` values that are largest in size lie at the upper end of `values`, ascending.

    Example:
        >>> largest_in_size(np.array([-5.0, -1.0, 2.0, 7.0, 9.0]), 3)  # 9, 7 and -5
        2
    """
    low, high = 0, len(values) - 1
    for _ in range(count):
        low, high = (low, high - 1) if values[high] >= -values[low] else (low + 1, high)
    return len(values) - 1 - high


def possible_splits(tops: Sequence[Estimate], bottoms: Sequence[Estimate], slack: float = 0.0) -> tuple[int, int]:
    """Return the fewest and the most of the k eigenvalues largest in size that may lie at the upper end.

    `tops` are the k largest eigenvalues lambda_1, lambda_2, ..., `bottoms` the k smallest, -mu_1, -mu_2, ..., from the
    ends inwards, or all that are known. The k largest in size are lambda_1 .. lambda_p and -mu_1 .. -mu_(k-p), where
    lambda_p >= mu_(k-p+1) and mu_(k-p) >= lambda_(p+1); each p that the intervals, widened by `slack`, allow counts.
    """
    k = len(tops)

    def possible(p: int) -> bool:
        last = p == 0 or tops[p - 1].upper + slack >= -bottoms[k - p].upper - slack
        return last and (p == k or -bottoms[k - p - 1].lower + slack >= tops[p].lower - slack)

    found = [p for p in range(k + 1) if possible(p)]
    return (found[0], found[-1]) if found else (0, k)  # no p fits intervals of which one fails


def in_size(
    tops: Sequence[Estimate], bottoms: Sequence[Estimate], tolerance: Tolerance, slack: float = 0.0
) -> tuple[tuple[Estimate, int], ...]:
    """Return the k eigenvalues of largest size, each with its place: 0, 1, ... among `tops`, -1, -2, ... from below.

    The order is that of the values. Where the intervals do not decide which eigenvalues belong to the k, each that is
    in doubt gets the hull of the intervals of all that are.
    """
    k = len(tops)
    p = largest_in_size(np.array([*(b.value for b in bottoms), *(t.value for t in reversed(tops))]), k)
    least, most = possible_splits(tops, bottoms, slack)
    least, most = min(least, p), max(most, p)
    doubtful = [*tops[least:most], *bottoms[k - most : k - least]]
    chosen = [(top, i, i >= least) for i, top in enumerate(tops[:p])]
    chosen += [(bottom, -1 - i, i >= k - most) for i, bottom in enumerate(bottoms[: k - p])]
    chosen.sort(key=lambda entry: -abs(entry[0].value))
    return tuple((_hull(e, doubtful, tolerance) if doubt else e, place) for e, place, doubt in chosen)


def _hull(estimate: Estimate, doubtful: Sequence[Estimate], tolerance: Tolerance) -> Estimate:
    lower, upper = min(e.lower for e in doubtful), max(e.upper for e in doubtful)
    if (lower, upper) == (estimate.lower, estimate.upper) or estimate.status is Status.INCONSISTENT:
        return estimate
    wide = replace(estimate, lower=lower, upper=upper, confidence=min(e.confidence for e in doubtful))
    wide = replace(wide, method=f"{estimate.method}, {UNDECIDED}", status=Status.BUDGET)
    met = tolerance.settle(wide, Status.CERTIFIED)
    return replace(met, method=estimate.method) if met.status is Status.CERTIFIED else met
