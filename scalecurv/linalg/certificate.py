"""A bound on the largest eigenvalue that holds with known probability, from Lanczos coefficients alone."""

import math

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal
from scipy.special import betaincinv


def largest_eigenvalue_bound(alphas: np.ndarray, betas: np.ndarray, n: int, delta: float) -> float:
    """A number that the largest eigenvalue exceeds with probability at most `delta`.

    The start vector q is uniform on the sphere in R^n, so |q'u| > d for the top eigenvector u except with
    probability delta, d^2 being the delta-quantile of Beta(1/2, (n-1)/2). The Lanczos polynomial p_k has
    p_k(lambda) d <= 1 there, and grows past the largest Ritz value: its crossing of 1/d is the bound
    (van Dorsselaer, Hochstenbach and van der Vorst 2000, SIAM J. Matrix Anal. Appl. 22). `alphas` and `betas`,
    both (k,), are those of `Lanczos`, taken as exact: rounding is the caller's to add. The smallest eigenvalue
    is bounded by applying this to -A.
    """
    ritz = eigvalsh_tridiagonal(alphas, betas[:-1])
    top, scale = float(ritz[-1]), float(np.abs(ritz).max())
    if n == 1 or betas[-1] == 0:
        return top  # the space is all there is: the Ritz value is the eigenvalue
    target = -0.5 * math.log(betaincinv(0.5, (n - 1) / 2, delta))
    low, high = top, top + max(scale, float(betas[-1]))
    while _log_polynomial(high, alphas, betas) < target:
        high = top + 2 * (high - top)
    while high - low > 1e-12 * max(abs(high), abs(low)):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _log_polynomial(middle, alphas, betas) < target else (low, middle)
    return high


def _log_polynomial(t: float, alphas: np.ndarray, betas: np.ndarray) -> float:
    """ln p_k(t) for t above the largest Ritz value, by ratios of successive polynomials: nothing overflows."""
    ratio, total = math.inf, 0.0
    previous_beta = 0.0
    for alpha, beta in zip(alphas, betas, strict=True):
        ratio = (t - alpha - previous_beta / ratio) / beta
        if ratio <= 0:  # rounding, at the largest Ritz value itself
            return -math.inf
        total += math.log(ratio)
        previous_beta = beta
    return total
