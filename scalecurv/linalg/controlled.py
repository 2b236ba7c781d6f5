"""tr A^2 from Hutchinson's terms where tr A is known: the error in the trace tells part of the error in the square."""

import numpy as np

from scalecurv.estimate import Estimate
from scalecurv.jackknife import jackknife_estimate

Sum = np.ndarray | np.floating


def controlled_square_estimate(rows: np.ndarray, trace: float, method: str, confidence: float = 0.95) -> Estimate:
    """tr A^2 = mean w - c (mean x - tr A) from terms (x, w) = (z'Az, |Az|^2) of shape (m, 2), m >= 4.

    c = cov(x, w) / var(x) from the same terms (a regression control variate: Lavenberg and Welch 1981); the variance
    falls from 2 t_4 / m to 2 t_4 (1 - t_3^2 / (t_2 t_4)) / m, t_k = tr A^k. c depends on the terms, which biases the
    value by O(1/m): the jackknife takes that out and gives the standard error.
    """
    m, x, w = len(rows), rows[:, 0] - trace, rows[:, 1]

    def square(sx: Sum, sw: Sum, sxx: Sum, sxw: Sum, count: int) -> np.ndarray:
        spread = np.asarray(sxx - sx * sx / count)
        slope = np.divide(sxw - sx * sw / count, spread, out=np.zeros_like(spread), where=spread > 1e-12 * sxx)
        return sw / count - slope * sx / count

    with np.errstate(over="ignore", invalid="ignore"):  # an overflow shows in the status
        xx, xw = x * x, x * w
        whole = float(square(x.sum(), w.sum(), xx.sum(), xw.sum(), m))
        without = square(x.sum() - x, w.sum() - w, xx.sum() - xx, xw.sum() - xw, m - 1)
    return jackknife_estimate(whole, without, method, confidence)
