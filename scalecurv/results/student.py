"""Student's distribution without scipy, for those who only read a store."""

import math


def student_quantile(confidence: float, freedom: int) -> float:
    """Return t with P(|T| <= t) = confidence, T of Student's distribution with a whole number of degrees of freedom.

    By the finite sums for P in theta = atan(t / sqrt(freedom)), so that a store is read without scipy. (Abramowitz and
    Stegun 1964, 26.7.3 and 26.7.4)

    Example:
        >>> round(student_quantile(0.95, 3), 4)
        3.1824
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        theta = (low + high) / 2
        low, high = (theta, high) if _student_share(theta, freedom) < confidence else (low, theta)
    return math.sqrt(freedom) * math.tan(low)


def _student_share(theta: float, freedom: int) -> float:
    """Return P(|T| <= sqrt(freedom) tan(theta))."""
    odd, square = freedom % 2, math.cos(theta) ** 2
    term = math.cos(theta) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for j in range(2 + odd, freedom - 1, 2):
        term *= square * (j - 1) / j
        total += term
    return 2 / math.pi * (theta + math.sin(theta) * total) if odd else math.sin(theta) * total
