"""The largest value of a quadratic function on a ball."""

import numpy as np
from scipy.optimize import brentq

ROUNDING = 1e-14  # of the slope: a component below it has no say, and the maximiser is not unique (the hard case)


def trust_region_maximum(slope: np.ndarray, curvature: np.ndarray, radius: float) -> np.ndarray:
    """Return a maximiser y of b'y + y'Ay/2 over |y| <= `radius`, shape (k,).

    `slope` is b (k,), `curvature` A (k, k), symmetric. y solves (mu I - A) y = b with mu >= max(lambda_max(A), 0), and
    |y| = radius where mu > 0. Where b has no component along the top eigenvector, y may need one of its own to reach
    the sphere, of either sign. (More and Sorensen 1983, SIAM J. Sci. Stat. Comput. 4) Raises ValueError where the
    radius is not positive.

    Example:
        >>> trust_region_maximum(np.array([0.0, 1.0]), np.diag([3.0, 0.0]), 2.0).round(3).tolist()
        [1.972, 0.333]
    """
    if not radius > 0:
        raise ValueError(f"radius={radius}: give a positive number")
    values, vectors = np.linalg.eigh(curvature)
    b, top = vectors.T @ slope, values[-1]
    b[np.abs(b) <= ROUNDING * np.linalg.norm(b)] = 0.0
    if top < 0 and np.linalg.norm(b / values) <= radius:
        return vectors @ (-b / values)
    floor = max(top, 0.0)
    gaps = floor - values
    free = gaps > ROUNDING * max(np.abs(values).max(), 1e-300)
    if not b[~free].any():  # at mu = floor the rest is finite, and may stay inside
        inside = np.divide(b, gaps, out=np.zeros_like(b), where=free)
        missing = radius**2 - float(inside @ inside)
        if missing >= 0:
            inside[-1] += np.sqrt(missing) if not free[-1] else 0.0
            return vectors @ inside

    def excess(shift: float) -> float:
        return 1 / radius - 1 / float(np.linalg.norm(b / (gaps + shift)))

    high = float(np.linalg.norm(b)) / radius  # there |y| <= radius, and at `low` it is at least the radius
    low = float(np.linalg.norm(b[~free])) / radius or high * 1e-300
    between = low < high and excess(low) > 0 > excess(high)
    shift = float(brentq(excess, low, high, xtol=1e-300)) if between else high
    y = b / (gaps + shift)
    return vectors @ (y * (radius / np.linalg.norm(y)))
