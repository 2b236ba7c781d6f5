"""Student's interval: from independent terms, or from an estimate with a standard error and its freedom."""

import math

import numpy as np
from scipy.special import stdtrit

from scalecurv.estimate import NAN, Estimate, Status


def student_estimate(
    value: float,
    stderr: float,
    num_samples: int,
    method: str,
    confidence: float = 0.95,
    num_matvecs: int | None = None,
    freedom: float | None = None,
) -> Estimate:
    """value +- t stderr, t the two-sided Student quantile with `freedom` (default: num_samples - 1) degrees.

    The status is `budget`, which whoever knows the tolerance may raise to `converged`; `failed` where value or
    stderr overflowed. With a single sample the interval is the whole line. `num_matvecs` defaults to one a sample.
    """
    products = num_samples if num_matvecs is None else num_matvecs
    if not math.isfinite(value) or (num_samples > 1 and not math.isfinite(stderr)):
        return Estimate(NAN, NAN, NAN, NAN, NAN, num_samples, products, method, Status.FAILED)
    if num_samples < 2:
        return Estimate(value, NAN, -math.inf, math.inf, confidence, num_samples, products, method, Status.BUDGET)
    half = float(stdtrit(freedom or num_samples - 1, (1 + confidence) / 2)) * stderr
    return Estimate(value, stderr, value - half, value + half, confidence, num_samples, products, method, Status.BUDGET)


def mean_estimate(samples: np.ndarray, method: str, confidence: float = 0.95) -> Estimate:
    """The mean of independent `samples` of shape (m,), stderr sd / sqrt(m)."""
    m = len(samples)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow shows in the status
        value = float(np.mean(samples))
        stderr = float(np.std(samples, ddof=1)) / math.sqrt(m) if m > 1 else NAN
    return student_estimate(value, stderr, m, method, confidence)
