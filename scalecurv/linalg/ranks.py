"""Ranks of a matrix that small singular values hardly change: stable rank, participation ratio, numerical rank."""

import math
from collections.abc import Callable

import numpy as np

from scalecurv.linalg.singular_values import SingularValues
from scalecurv.statistics.estimate import Estimate, Status

NARROW = 0.01  # of the value: an estimate with a wider interval has the status `lower_bound`


def stable_rank(singular: SingularValues) -> Estimate:
    """Return |J|_F^2 / sigma_1^2 = T / lambda of J'J: so many directions like the first would make up the norm."""
    return _between(singular, "sum sigma^2 / sigma_1^2", lambda low, high: _power_sum(low, 2) / float(high[0]) ** 2)


def participation_ratio(singular: SingularValues) -> Estimate:
    """Return (sum sigma^2)^2 / sum sigma^4 = T^2 / F of J'J, which lies between the stable rank and the rank."""
    return _between(
        singular,
        "(sum sigma^2)^2 / sum sigma^4",
        lambda low, high: _power_sum(low, 2) ** 2 / _power_sum(high, 4),
    )


def _power_sum(values: np.ndarray, power: int) -> float:
    return float((values**power).sum())


def _between(singular: SingularValues, method: str, quotient: Callable[[np.ndarray, np.ndarray], float]) -> Estimate:
    """Return quotient(values in the numerator, values in the denominator) as an estimate.

    Its ends are the quotients at the lower and upper bounds of the singular values, taken in units of the largest.
    """
    unit = float((singular.values + singular.error)[0])
    if not unit:
        return Estimate.not_applicable("J is zero")
    low, high = singular.values / unit, (singular.values + singular.error) / unit
    unseen = 0 if singular.complete else min(singular.shape) - len(low)
    high = np.concatenate([high, np.full(unseen, float(np.max(singular.error)) / unit)])
    most = min(singular.shape)
    if not low[0]:
        return between(0.0, math.inf, most, method, singular.confidence, singular.num_matvecs, least=0.0)
    return between(quotient(low, high), quotient(high, low), most, method, singular.confidence, singular.num_matvecs)


def between(
    lower: float, upper: float, rank: int, method: str, confidence: float, num_matvecs: int = 0, least: float = 1.0
) -> Estimate:
    """Return a ratio that lies between `lower` and `upper`, and between `least` and `rank` as that of every matrix.

    The status is `converged` where the interval is narrow, else `lower_bound`; the value is then the lower end.

    Example:
        >>> print(between(2.0, 5.0, 3, "by hand", 1.0))
        >= 2, <= 3
    """
    lower = min(max(lower, least), float(rank))  # every matrix except 0 has at least 1
    upper = max(min(upper, float(rank)), lower)
    sharp = upper - lower <= 2 * NARROW * lower
    value, status = ((lower + upper) / 2, Status.CONVERGED) if sharp else (lower, Status.LOWER_BOUND)
    return Estimate.enclosed(value, lower, upper, method, status, confidence=confidence, num_matvecs=num_matvecs)


def numerical_rank(singular: SingularValues, tau: float) -> Estimate:
    """Return #{i : sigma_i > tau sigma_1}, with the interval that the truncation error of the sketch leaves open.

    The status is `converged` where the interval is one number, else `lower_bound`; the value is its lower end.
    """
    values, most = singular.values, singular.values + singular.error
    top = float(values[0])
    lower = int(np.sum(values > tau * most[0]))
    upper = int(np.sum(most > tau * top))
    if not singular.complete and np.max(singular.error) > tau * top:
        upper = min(singular.shape)  # all unseen values may lie above the threshold
    if most[0] == 0:
        upper = 0
    status = Status.CONVERGED if lower == upper else Status.LOWER_BOUND
    method, cost = f"singular values above {tau:.3g} of the largest", singular.num_matvecs
    return Estimate.enclosed(lower, lower, upper, method, status, confidence=singular.confidence, num_matvecs=cost)
