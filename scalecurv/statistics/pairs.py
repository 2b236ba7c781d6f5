"""Means over pairs of independent draws, with intervals that are Student's or proven, and sums of independent parts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from scalecurv.statistics.estimate import Estimate
from scalecurv.statistics.intervals import skewness_of, student_estimate

MOST = 100.0  # times a mean that its interval may reach beyond it, where the spread is too large to tell


@dataclass(frozen=True)
class Part:
    """An unbiased value with its standard error, the degrees of freedom of that error, and the value's skewness.

    The skewness is the third cumulant of the value over the third power of its standard error.
    """

    value: float
    stderr: float
    freedom: float
    skewness: float = 0.0

    def shifted(self, known: float) -> "Part":
        """Return the part with a known number added to its value."""
        return Part(self.value + known, self.stderr, self.freedom, self.skewness)


def mean_part(samples: np.ndarray) -> Part:
    """Return the mean of m >= 2 independent `samples` (m,), with standard error sd / sqrt(m).

    Example:
        >>> mean_part(np.array([1.0, 3.0]))
        Part(value=2.0, stderr=1.0, freedom=1, skewness=0.0)
    """
    m = len(samples)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow gives the status `failed`
        stderr = float(np.std(samples, ddof=1)) / math.sqrt(m)
        return Part(float(np.mean(samples)), stderr, m - 1, skewness_of(samples) / math.sqrt(m))


def pair_part(row_means: np.ndarray) -> Part:
    """Return the U-statistic of a symmetric kernel k(a, b) over all pairs of n >= 3 draws, from its row means (n,).

    With h_a = sum_(b != a) k(a, b) / (n - 1) the statistic is U = sum_a h_a / n, and the jackknife over draws gives

        SE^2 = 4 (n - 1) / (n (n - 2)^2) sum_a (h_a - U)^2.

    (Hoeffding 1948; Arvesen 1969)

    Example:
        >>> pair_part(np.array([1.0, 2.0, 3.0])).value
        2.0
    """
    n = len(row_means)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow gives the status `failed`
        value = float(np.mean(row_means))
        spread = float(((row_means - value) ** 2).sum())
        stderr = math.sqrt(4 * (n - 1) / (n * (n - 2) ** 2) * spread)
        return Part(value, stderr, n - 1, skewness_of(row_means) / math.sqrt(n))


def sum_estimate(parts: Sequence[Part], num_samples: int, method: str, num_matvecs: int) -> Estimate:
    """Return the sum of independent parts, with Student's interval of 95 %.

    Variances add; the degrees of freedom are Satterthwaite's, (sum v)^2 / sum (v^2 / freedom). Third cumulants add too,
    and widen the interval as `skewed_quantile` says. (Welch 1947)

    Example:
        >>> found = sum_estimate([Part(1.0, 0.3, 50), Part(2.0, 0.4, 50)], 51, "sum", 0)
        >>> print(found.value, found.stderr)
        3.0 0.5
    """
    value, variance = sum(part.value for part in parts), sum(part.stderr**2 for part in parts)
    if not math.isfinite(value + variance):
        return Estimate.failed(method, num_samples, num_matvecs)
    freedom = variance**2 / (sum(part.stderr**4 / part.freedom for part in parts) or math.inf)
    third = sum(part.skewness * part.stderr**3 for part in parts)
    skewness = third / variance**1.5 * math.sqrt(num_samples) if variance else 0.0
    stderr = math.sqrt(variance)
    return student_estimate(
        value, stderr, num_samples, method, 0.95, num_matvecs, max(freedom, 1.0) if variance else 1.0, skewness
    )


def on_log_scale(estimate: Estimate, size: float) -> Estimate:
    """Return the estimate with its interval +-h turned into size (exp(-h / size) - 1) .. size (exp(h / size) - 1).

    `size` is the positive part of the value that is in error by a share of itself. Where a positive mean is drawn too
    low so is its standard error, and Student's interval is left too soon; that of the logarithm is not. Unchanged where
    `size` <= 0.

    Example:
        >>> found = on_log_scale(sum_estimate([Part(1.0, 0.2, 100)], 101, "sum", 0), 1.0)
        >>> print(f"{found.lower:.3f} {found.upper:.3f}")
        0.672 1.487
    """
    half = estimate.halfwidth
    if not (size > 0 and math.isfinite(half)):
        return estimate
    share = min(half / size, math.log(1 + MOST))
    lower, upper = (size * math.expm1(sign * share) for sign in (-1, 1))
    return replace(estimate, lower=estimate.value + lower, upper=estimate.value + max(upper, half))


def bounded_pair_interval(value: float, count: int, bound: float, chance: float) -> tuple[float, float]:
    """Return a proven interval for the mean u of a kernel with 0 <= k <= `bound`, from its U-statistic `value`.

    Hoeffding (1963, sec. 5) writes U as an average of means over m = floor(n/2) independent pairs, and E k^2 <= b u.
    Bernstein's inequality therefore gives, except with probability `chance` and with L = ln(2 / chance),

        |U - u| <= sqrt(2 b u L / m) + b L / (3 m),

    which is solved for u. It needs nothing of the number of samples, of parameters or of tails.

    Example:
        >>> low, high = bounded_pair_interval(0.5, 100, 1.0, 0.05)
        >>> print(f"{low:.3f} {high:.3f}")
        0.274 0.886
    """
    m, level = count // 2, math.log(2 / chance)

    def beyond(u: float, sign: float) -> float:
        slack = math.sqrt(2 * bound * max(u, 0.0) * level / m) + bound * level / (3 * m)
        return sign * (u - value) - slack

    most = bound
    low = 0.0 if beyond(0.0, -1.0) <= 0 else brentq(beyond, 0.0, value, (-1.0,))
    high = most if beyond(most, 1.0) <= 0 else brentq(beyond, value, most, (1.0,))
    return float(low), float(high)
