"""The jackknife: a standard error, and a value freed of the bias in 1/m, for anything computed from m terms."""

import math

import numpy as np

from scalecurv.estimate import Estimate
from scalecurv.student import skewness_of, student_estimate


def jackknife_estimate(
    whole: float, without: np.ndarray, method: str, confidence: float = 0.95, unbiased: bool = False
) -> Estimate:
    """A statistic of m terms: its value on all of them, and on all but the i-th, shape (m,).

    The pseudo-values m whole - (m - 1) without_i have the standard error of the statistic; their mean, which is the
    value unless the statistic is `unbiased` as it stands, has no bias of order 1/m. (Quenouille 1956; Tukey 1958)
    """
    m = len(without)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow shows in the status
        pseudo = m * whole - (m - 1) * without
        stderr = float(np.std(pseudo, ddof=1)) / math.sqrt(m)
        value = whole if unbiased else float(np.mean(pseudo))
        skewness = skewness_of(pseudo)
    return student_estimate(value, stderr, m, method, confidence, skewness=skewness)
