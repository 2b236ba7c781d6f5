"""How many directions a matrix acts in, weighed by how much: ranks that small singular values hardly move."""

import numpy as np

from scalecurv.estimate import NAN, Estimate, Status
from scalecurv.linalg.range_finder import NUM_TESTS, SingularValues

NARROW = 0.01  # of the value: a wider interval is called a lower bound


def stable_rank(singular: SingularValues) -> Estimate:
    """|J|_F^2 / sigma_1^2 = T / lambda of J'J: how many directions like the largest would make up the norm."""
    low, high = _power_sums(singular, 2)
    top_low, top_high = _top(singular)
    if not top_high:
        return Estimate.not_applicable("J is zero")
    return _between(singular, low / top_high**2, high / top_low**2 if top_low else np.inf, "sum sigma^2 / sigma_1^2")


def participation_ratio(singular: SingularValues) -> Estimate:
    """(sum sigma^2)^2 / sum sigma^4 = T^2 / F of J'J, between the stable rank and the rank."""
    squares, fourths = _power_sums(singular, 2), _power_sums(singular, 4)
    if not fourths[1]:
        return Estimate.not_applicable("J is zero")
    high = squares[1] ** 2 / fourths[0] if fourths[0] else np.inf
    return _between(singular, squares[0] ** 2 / fourths[1], high, "(sum sigma^2)^2 / sum sigma^4")


def _power_sums(singular: SingularValues, power: int) -> tuple[float, float]:
    """Of all singular values, the unseen ones included."""
    high = float(((singular.values + singular.error) ** power).sum())
    if not singular.complete:
        high += (min(singular.shape) - len(singular.values)) * float(np.max(singular.error)) ** power
    return float((singular.values**power).sum()), high


def _top(singular: SingularValues) -> tuple[float, float]:
    top = float(singular.values[0])
    return top, float((singular.values + singular.error)[0])


def _between(singular: SingularValues, lower: float, upper: float, method: str) -> Estimate:
    sharp = upper - lower <= 2 * NARROW * lower
    return Estimate(
        value=(lower + upper) / 2 if sharp else lower,
        stderr=NAN,
        lower=lower,
        upper=min(upper, float(min(singular.shape))) if not sharp else upper,
        confidence=1.0 if singular.complete else 1 - 10.0**-NUM_TESTS,
        num_samples=0,
        num_matvecs=singular.num_matvecs,
        method=method,
        status=Status.CONVERGED if sharp else Status.LOWER_BOUND,
    )
