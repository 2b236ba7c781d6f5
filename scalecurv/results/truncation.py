"""The error that a Gauss rule makes in a smoothed density, bounded through Chebyshev coefficients."""

import math

import numpy as np

EPS = float(np.finfo(np.float64).eps)
MOST_POINTS = 1 << 15  # of one Chebyshev expansion; where more are needed the closed bound is used


def truncation_bound(num_nodes: int, width: float, grid: np.ndarray, interval: tuple[float, float]) -> float:
    """Return the maximum over t in `grid` of a bound on |integral f dmu - Gauss rule of f|, f(x) = N(t; x, width^2).

    It holds for every probability measure mu on `interval`: a rule of k = `num_nodes` nodes is exact to degree 2k - 1,
    so that the error is at most 2 E_{2k-1}(f) <= 2 sum_{j >= 2k} |c_j|, c_j the Chebyshev coefficients of f there, and
    at most the maximum of f. (Golub and Meurant 2010; Trefethen 2013)
    """
    low, high = interval
    peak, s = 1 / (math.sqrt(2 * math.pi) * width), 2 * width / (high - low)
    num_points = 2
    while (beyond := _tail(num_points, s)) > EPS and num_points < MOST_POINTS:
        num_points *= 2
    if 2 * num_nodes >= num_points or beyond > EPS:
        return peak * min(1.0, 2 * _tail(2 * num_nodes, s))
    x = np.cos(np.pi * (np.arange(num_points) + 0.5) / num_points)
    largest = 0.0
    for centre in np.array_split((grid - (low + high) / 2) * 2 / (high - low), 1 + grid.size * num_points // (1 << 22)):
        c = _cosine_transform(np.exp(-(((x - centre[:, None]) / s) ** 2) / 2)) / num_points
        largest = max(largest, float(np.abs(c[:, 2 * num_nodes :]).sum(axis=1).max(initial=0)))
    # coefficients past the last are missing once, and aliased onto others at most once
    return peak * min(1.0, 2 * (largest + 2 * beyond))


def _cosine_transform(rows: np.ndarray) -> np.ndarray:
    """Return 2 sum_i x_i cos(pi k (i + 1/2) / n) for k < n of each row x, by one FFT of x and its mirror image.

    By NumPy, so that a store is read without scipy. (Makhoul 1980)
    """
    n = rows.shape[1]
    mirrored = np.fft.rfft(np.concatenate([rows, rows[:, ::-1]], axis=1), axis=1)[:, :n]
    return np.asarray((mirrored * np.exp(-0.5j * np.pi * np.arange(n) / n)).real)


def _tail(j: int, s: float) -> float:
    """Return a bound on sum_{i >= j} |c_i|, c_i the Chebyshev coefficients of exp(-(x - t)^2 / 2s^2), for every t.

    |c_i| <= 2 M rho^-i, M = exp(b^2 / 2s^2) the maximum on the ellipse with half axis b = (rho - 1/rho) / 2 > 0; b is
    chosen to make rho^-j M least. (Bernstein 1912)
    """
    b = math.sqrt(2 * j**2 * s**4 / (1 + math.sqrt(1 + 4 * j**2 * s**4)))
    log_rho = math.asinh(b)
    return 2 * math.exp(b**2 / (2 * s**2) - j * log_rho) / -math.expm1(-log_rho)
