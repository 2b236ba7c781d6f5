"""Hutchinson's estimators of tr A and tr A^2, both from one product a probe."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import dots
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.intervals import jackknife_estimate, mean_estimate

STREAM = "hutchinson"


def terms(operator: Operand, seed: int, ids: Sequence[int]) -> np.ndarray:
    """Return one row (z'Az, |Az|^2) for each probe id, shape (len(ids), 2) in float64.

    z is probe number i of the seed, with independent signs. E z'Az = tr A, with variance
    2 (|A|_F^2 - sum_i a_ii^2); E |Az|^2 = tr A^2 for symmetric A. One product a probe.
    (Girard 1989; Hutchinson 1990)
    """
    operator = aslinearoperator(operator)
    Z = probes(operator.shape[0], seed, STREAM, ids, "rademacher", operator.dtype, operator.device)
    AZ = operator.matmat(Z)
    return np.stack([dots(Z, AZ).cpu().numpy(), dots(AZ, AZ).cpu().numpy()], axis=1)


def trace_estimate(rows: np.ndarray, method: str = "hutchinson", confidence: float = 0.95) -> Estimate:
    """Estimate tr A by the mean of the first column of `terms`, shape (m, 2)."""
    return mean_estimate(rows[:, 0], method, confidence)


def trace_square_estimate(rows: np.ndarray, method: str = "hutchinson", confidence: float = 0.95) -> Estimate:
    """Estimate tr A^2 = |A|_F^2 >= 0 by the mean of the second column of `terms`, shape (m, 2)."""
    estimate = mean_estimate(rows[:, 1], method, confidence)
    return replace(estimate, lower=max(estimate.lower, 0.0))


Sum = np.ndarray | np.floating


def controlled_square_estimate(rows: np.ndarray, trace: float, method: str, confidence: float = 0.95) -> Estimate:
    """Estimate tr A^2 by mean w - c (mean x - tr A) from terms (x, w) = (z'Az, |Az|^2) of shape (m, 2), m >= 4.

    c = cov(x, w) / var(x) from the same terms (a regression control variate: Lavenberg and Welch 1981); the variance
    falls from 2 t_4 / m to 2 t_4 (1 - t_3^2 / (t_2 t_4)) / m, t_k = tr A^k. c depends on the terms, which biases the
    value by O(1/m): the jackknife removes that bias and gives the standard error.
    """
    m, x, w = len(rows), rows[:, 0] - trace, rows[:, 1]

    def square(sx: Sum, sw: Sum, sxx: Sum, sxw: Sum, count: int) -> np.ndarray:
        spread = np.asarray(sxx - sx * sx / count)
        slope = np.divide(sxw - sx * sw / count, spread, out=np.zeros_like(spread), where=spread > 1e-12 * sxx)
        return sw / count - slope * sx / count

    with np.errstate(over="ignore", invalid="ignore"):  # an overflow gives the status `failed`
        xx, xw = x * x, x * w
        whole = float(square(x.sum(), w.sum(), xx.sum(), xw.sum(), m))
        without = square(x.sum() - x, w.sum() - w, xx.sum() - xx, xw.sum() - xw, m - 1)
    return jackknife_estimate(whole, without, method, confidence)


def squared_norm_estimate(
    squares: np.ndarray, norm: float, confidence: float, method: str, num_matvecs: int
) -> Estimate:
    """Estimate tr A^2 with a proven interval from m values |A z_i|^2, z_i Gaussian and A symmetric with |A| <= `norm`.

    |Az|^2 is a sum of a_i^2 chi^2_1 with 0 <= a_i^2 <= norm^2 and sum S = tr A^2. log E exp(s |Az|^2) is convex in
    each a_i^2 and 0 at 0, for s of either sign, hence at most that of norm^2 chi^2 with S / norm^2 degrees of
    freedom. Chernoff's bound for chi^2 therefore holds, and excludes every S with
    m (w - S - S ln(w / S)) / (2 norm^2) > ln(2 / delta), w the mean of the values and delta = 1 - confidence.
    """
    m, w = len(squares), float(np.mean(squares))
    if not math.isfinite(w):
        return Estimate.failed(method, m, num_matvecs)
    if norm == 0 or w == 0 or not norm < math.inf:
        upper = w if norm < math.inf else math.inf  # without a bound on |A| the upper end is infinite
        return Estimate(w, NAN, 0.0, upper, confidence, m, num_matvecs, method, Status.BUDGET)
    allowed = 2 * norm**2 * math.log(2 / (1 - confidence)) / m / w

    def excess(ratio: float) -> float:  # S = ratio w
        return 1 - ratio + ratio * math.log(ratio) - allowed

    # excess is convex with its minimum -allowed at ratio 1; at ratio 0 it is 1 - allowed
    lower = 0.0 if allowed >= 1 else brentq(excess, 1e-300, 1.0)
    high = 2.0
    while excess(high) < 0:
        high *= 2
    upper = brentq(excess, 1.0, high)
    return Estimate(w, NAN, w * lower, w * upper, confidence, m, num_matvecs, method, Status.BUDGET)
