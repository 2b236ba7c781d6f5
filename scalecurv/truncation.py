"""How far a Gauss rule may lie from the measure that it stands for, once both are smoothed by a Gaussian."""

import math

import numpy as np

EPS = float(np.finfo(np.float64).eps)
MOST_POINTS = 1 << 15  # of one Chebyshev expansion; what needs more gets the closed bound alone


def truncation_bound(num_nodes: int, width: float, grid: np.ndarray, interval: tuple[float, float]) -> float:
    """max over t in `grid` of a bound on |integral f dmu - Gauss rule of f|, f(x) = N(t; x, width^2).

    For any probability measure mu on `interval`: k nodes are exact to degree 2k - 1, so that the error is at most
    2 E_{2k-1}(f) <= 2 sum_{j >= 2k} |c_j|, c_j the Chebyshev coefficients of f there, and at most f's maximum.
    (Golub and Meurant 2010; Trefethen 2013)
    """
    low, high = interval
    peak, s = 1 / (math.sqrt(2 * math.pi) * width), 2 * width / (high - low)
    num_points = 2
    while (beyond := _tail(num_points, s)) > EPS and num_points < MOST_POINTS:
        num_points *= 2
    if 2 * num_nodes >= num_points or beyond > EPS:
        return peak * min(1.0, 2 * _tail(2 * num_nodes, s))
    from scipy.fft import dct  # here: whoever reads a store for its numbers need not wait for it

    x = np.cos(np.pi * (np.arange(num_points) + 0.5) / num_points)
    largest = 0.0
    for centre in np.array_split((grid - (low + high) / 2) * 2 / (high - low), 1 + grid.size * num_points // (1 << 22)):
        c = dct(np.exp(-(((x - centre[:, None]) / s) ** 2) / 2), axis=1) / num_points
        largest = max(largest, float(np.abs(c[:, 2 * num_nodes :]).sum(axis=1).max(initial=0)))
    # every coefficient past the last is missing once, and folded onto another at most once
    return peak * min(1.0, 2 * (largest + 2 * beyond))


def _tail(j: int, s: float) -> float:
    """sum_{i >= j} |c_i| of exp(-(x - t)^2 / 2s^2) on [-1, 1] is at most this, whatever t.

    |c_i| <= 2 M rho^-i, M = exp(b^2 / 2s^2) the maximum on the ellipse with half axis b = (rho - 1/rho) / 2, any
    b > 0; here the one at which rho^-j M is least. (Bernstein 1912)
    """
    b = math.sqrt(2 * j**2 * s**4 / (1 + math.sqrt(1 + 4 * j**2 * s**4)))
    log_rho = math.asinh(b)
    return 2 * math.exp(b**2 / (2 * s**2) - j * log_rho) / -math.expm1(-log_rho)
