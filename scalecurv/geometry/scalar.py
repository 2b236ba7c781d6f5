"""Scalar curvature of the graph {(theta, L(theta))} in R^(P+1), from five numbers."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from scalecurv.statistics.estimate import Estimate
from scalecurv.statistics.intervals import jackknife_estimate

Number = TypeVar("Number", float, np.ndarray)


def beta_of(grad_norm: float) -> float:
    """Return beta = 1 / (1 + |g|^2), which is 1 at a critical point and small where the gradient is large."""
    return 1 / (1 + grad_norm**2)


def scalar_curvature_of(
    trace: Number, trace_squared: Number, trace_h2: Number, beta: float, ghg: float, gh2g: float
) -> Number:
    """Return K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg).

    `trace` is T = tr H, `trace_squared` T^2 (a separate argument, so that it can be an unbiased estimate), `trace_h2`
    F = tr H^2, `ghg` g'Hg and `gh2g` g'H^2 g; scalars or arrays of one shape. T has the unit loss over parameters
    squared. K sums the sectional curvatures over ordered pairs of directions, and is twice the Gaussian curvature for
    P = 2. (Pouplin, Roy, Singh and Arvanitidis 2023, arXiv 2307.04719)
    """
    return beta * (trace_squared - trace_h2) + 2 * beta**2 * (gh2g - trace * ghg)


def scalar_curvature_estimate(
    rows: np.ndarray, beta: float, ghg: float, gh2g: float, confidence: float = 0.95
) -> Estimate:
    """Estimate K from terms (z'Hz, |Hz|^2) of shape (m, 2), m >= 3, and the exact beta, g'Hg and g'H^2 g.

    T^2 is estimated by the U-statistic ((sum x)^2 - sum x^2) / (m (m - 1)), because the square of a mean is
    biased by the variance of the mean (Hoeffding 1948). The standard error is that of the m pseudo-values
    m K - (m - 1) K_(-i) (Quenouille 1956; Tukey 1958), which carries the covariance of z'Hz and |Hz|^2.
    That error is proportional to |T|, and too small where the mean of x is small by chance: at the far end of the
    interval of T, K lies beta t^2 var(x) / m beyond its linearization. Each end is moved outwards by half of that.
    With beta = 1 and ghg = gh2g = 0 this estimates T^2 - F. Raises ValueError for fewer than 3 terms.
    """
    m = len(rows)
    if m < 3:
        raise ValueError(f"{m} term(s): the jackknife of a U-statistic needs at least 3")
    x, w = rows[:, 0], rows[:, 1]

    def curvature(sum_x: np.ndarray, sum_xx: np.ndarray, sum_w: np.ndarray, count: int) -> np.ndarray:
        pairs = (sum_x**2 - sum_xx) / (count * (count - 1))
        return scalar_curvature_of(sum_x / count, pairs, sum_w / count, beta, ghg, gh2g)

    with np.errstate(over="ignore", invalid="ignore"):  # an overflow gives the status `failed`
        whole = float(curvature(x.sum(), (x**2).sum(), w.sum(), m))
        without = curvature(x.sum() - x, (x**2).sum() - x**2, w.sum() - w, m - 1)
        bend = beta / 2 * float(np.var(x, ddof=1)) / m
    found = jackknife_estimate(whole, without, "u-statistic and jackknife", confidence, unbiased=True)
    quantile = found.halfwidth / found.stderr if found.stderr > 0 else 0.0
    return replace(found, lower=found.lower - quantile**2 * bend, upper=found.upper + quantile**2 * bend)
