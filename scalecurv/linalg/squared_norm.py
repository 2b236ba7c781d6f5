"""A proven interval for tr A^2 from a handful of Gaussian probes, where a bound on |A| is at hand."""

import math

import numpy as np
from scipy.optimize import brentq

from scalecurv.estimate import NAN, Estimate, Status


def squared_norm_estimate(
    squares: np.ndarray, norm: float, confidence: float, method: str, num_matvecs: int
) -> Estimate:
    """tr A^2 from m values |A z_i|^2, z_i Gaussian and A symmetric with |A| <= `norm`; the interval is proven.

    |Az|^2 is a sum of a_i^2 chi^2_1 with 0 <= a_i^2 <= norm^2 and sum S = tr A^2. log E exp(s |Az|^2) is convex in
    each a_i^2 and 0 at 0, for s of either sign, hence at most that of norm^2 chi^2 with S / norm^2 degrees of
    freedom: Chernoff's bound for chi^2 holds, and excludes every S with
    m (w - S - S ln(w / S)) / (2 norm^2) > ln(2 / delta), w the mean of the values and delta = 1 - confidence.
    """
    m, w = len(squares), float(np.mean(squares))
    if not math.isfinite(w):
        return Estimate(NAN, NAN, NAN, NAN, NAN, m, num_matvecs, method, Status.FAILED)
    if norm == 0 or w == 0 or not norm < math.inf:
        upper = w if norm < math.inf else math.inf  # without a bound on |A| nothing is known
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
