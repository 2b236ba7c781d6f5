"""Bounds on the outermost eigenvalues of A from a Ritz space and a bound on what is left outside it."""

import numpy as np

from scalecurv.linalg.ritz import RitzSpace


def largest_bounds(space: RitzSpace, rest: float, n: int, count: int) -> np.ndarray:
    """Upper bounds on the `count` largest eigenvalues of A (n x n), descending, where R A R <= `rest`, R = I - QQ'.

    As AQ = QT + r c', A is in a basis that begins with Q and r at most [[T, c, 0], [c', rest, 0], [0, 0, rest I]], and
    so are its eigenvalues one by one (Weyl 1912): each Ritz value is exceeded by about c_j^2 / (theta_j - rest) only.
    The smallest are bounded by applying this to -A: see `smallest_bounds`.
    """
    k = len(space.coupling)
    if k == n:
        return np.sort(space.values)[::-1][:count]
    c = space.coupling[:, None]
    inner = np.linalg.eigvalsh(np.block([[space.projected, c], [c.T, np.array([[rest]])]]))
    return np.sort(np.r_[inner, [rest] * min(count, n - k - 1)])[::-1][:count]


def smallest_bounds(space: RitzSpace, rest: float, n: int, count: int) -> np.ndarray:
    """Lower bounds on the `count` smallest eigenvalues, ascending, where R A R >= `rest`."""
    flipped = RitzSpace(space.basis, -space.projected, space.coupling, space.residual, space.num_matvecs)
    return -largest_bounds(flipped, -rest, n, count)
