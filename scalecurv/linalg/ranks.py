"""How many directions a matrix acts in, weighed by how much: ranks that small singular values hardly move."""

from collections.abc import Callable

import numpy as np

from scalecurv.linalg.singular_values import SingularValues
from scalecurv.statistics.estimate import Estimate, Status

NARROW = 0.01  # of the value: a wider interval is called a lower bound


def stable_rank(singular: SingularValues) -> Estimate:
    """|J|_F^2 / sigma_1^2 = T / lambda of J'J: how many directions like the largest would make up the norm."""
    return _between(singular, "sum sigma^2 / sigma_1^2", lambda low, high: _power_sum(low, 2) / float(high[0]) ** 2)


def participation_ratio(singular: SingularValues) -> Estimate:
    """(sum sigma^2)^2 / sum sigma^4 = T^2 / F of J'J, between the stable rank and the rank."""
    return _between(
        singular,
        "(sum sigma^2)^2 / sum sigma^4",
        lambda low, high: _power_sum(low, 2) ** 2 / _power_sum(high, 4),
    )


def _power_sum(values: np.ndarray, power: int) -> float:
    return float((values**power).sum())


def _between(singular: SingularValues, method: str, quotient: Callable[[np.ndarray, np.ndarray], float]) -> Estimate:
    """quotient(numerator's values, denominator's values) at both ends, in units of the largest value."""
    unit = float((singular.values + singular.error)[0])
    if not unit:
        return Estimate.not_applicable("J is zero")
    low, high = singular.values / unit, (singular.values + singular.error) / unit
    unseen = 0 if singular.complete else min(singular.shape) - len(low)
    high = np.concatenate([high, np.full(unseen, float(np.max(singular.error)) / unit)])
    lower = max(quotient(low, high), 1.0 if low[0] else 0.0)  # any matrix but 0 has as much
    upper = min(quotient(high, low), float(min(singular.shape))) if low[0] else float(min(singular.shape))
    sharp = upper - lower <= 2 * NARROW * lower
    value, status = ((lower + upper) / 2, Status.CONVERGED) if sharp else (lower, Status.LOWER_BOUND)
    cost = singular.num_matvecs
    return Estimate.enclosed(value, lower, upper, method, status, confidence=singular.confidence, num_matvecs=cost)


def numerical_rank(singular: SingularValues, tau: float) -> Estimate:
    """#{i : sigma_i > tau sigma_1}, with the interval that the truncation error of the sketch leaves open.

    `converged` where the interval is one number, else `lower_bound`: the value is then its lower end.
    """
    values, most = singular.values, singular.values + singular.error
    top = float(values[0])
    lower = int(np.sum(values > tau * most[0]))
    upper = int(np.sum(most > tau * top))
    if not singular.complete and np.max(singular.error) > tau * top:
        upper = min(singular.shape)  # any number of unseen values may lie above the threshold
    if most[0] == 0:
        upper = 0
    status = Status.CONVERGED if lower == upper else Status.LOWER_BOUND
    method, cost = f"singular values above {tau:.3g} of the largest", singular.num_matvecs
    return Estimate.enclosed(lower, lower, upper, method, status, confidence=singular.confidence, num_matvecs=cost)
