"""Quotients that count directions, with the intervals that follow from those of their parts."""

import math
from itertools import product

from scalecurv.geometry.bounds import Interval
from scalecurv.statistics.estimate import NAN, Estimate, Status

PROVEN = (Status.EXACT, Status.CERTIFIED)


def interval_of(estimate: Estimate) -> Interval:
    """Return the pair (lower, upper) of an estimate."""
    return estimate.lower, estimate.upper


def effective_rank(trace: Estimate, lambda_max: Estimate, rtol: float) -> Estimate:
    """Return T / lambda_max: so many directions, each as curved as the most curved one, would make up the trace."""
    return _quotient("T / lambda_max", trace, lambda_max, 1, rtol)


def participation_ratio(trace: Estimate, trace_h2: Estimate, rtol: float) -> Estimate:
    """Return T^2 / F, between 1 and rank H where H is positive semidefinite; K = (T^2 / F - 1) F where g = 0."""
    return _quotient("T^2 / F", trace, trace_h2, 2, rtol)


def _quotient(method: str, above: Estimate, below: Estimate, power: int, rtol: float) -> Estimate:
    """Return above^power / below with its range over both intervals; not applicable where `below` may be 0 or less.

    The status is `budget` where the range is wider than `rtol` allows, whatever the status of the parts.
    """
    status = joint_status(above, below)
    if status is Status.FAILED:
        return Estimate.failed(f"{method}: a part of it failed")
    if not below.lower > 0:
        reason = f"{method}: the denominator may be zero"
        if below.status is Status.BUDGET:  # for want of products alone, maybe
            return Estimate.enclosed(NAN, -math.inf, math.inf, reason, Status.BUDGET)
        return Estimate.not_applicable(reason)
    corners = [a**power / b for a, b in product(interval_of(above), interval_of(below))]
    lower = 0.0 if power == 2 and above.lower <= 0 <= above.upper else min(corners)
    estimate = Estimate(
        value=above.value**power / below.value,
        stderr=NAN,
        lower=lower,
        upper=max(corners),
        confidence=max(0.0, above.confidence + below.confidence - 1),
        num_samples=max(above.num_samples, below.num_samples),
        num_matvecs=max(above.num_matvecs, below.num_matvecs),
        method=method,
        status=status,
    )
    if status is Status.EXACT:
        return estimate
    proven = above.status in PROVEN and below.status in PROVEN
    met = Status.CERTIFIED if proven else Status.CONVERGED
    return estimate.with_status(met).judged(rtol)


def joint_status(*parts: Estimate) -> Status:
    """Return the status of the part that is known least well; parts that are not applicable do not count."""
    worst_first = (
        Status.FAILED,
        Status.INCONSISTENT,
        Status.BUDGET,
        Status.LOWER_BOUND,
        Status.CONVERGED,
        Status.CERTIFIED,
    )
    for status in worst_first:
        if any(part.status is status for part in parts):
            return status
    return Status.EXACT
