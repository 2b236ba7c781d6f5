"""The number of eigenvalues of a symmetric matrix above a threshold, by symmetric factorizations."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.inner import norms
from scalecurv.linalg.probes import probes
from scalecurv.statistics.intervals import caution

STREAM = "inertia"
NUM_TESTS = 30  # Gaussian vectors that look for an eigenvalue near a threshold
CHANCE = 1e-10  # that they miss one
ROUNDS = 3  # factorizations at one end of a window before the end is given up
EXTRA = 8  # roundings of an entry beside those of its inner product: of the pivot and of its 2 x 2 solve
TILE = 256  # columns that are squared at once
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Inertia:
    """P (A + E) P' = L D L' for a symmetric A (n, n), with |E|_2 <= `error` and `positive` positive eigenvalues of D.

    By Sylvester's law A + E has as many, and by Weyl's inequality A has at most that many above `error` and at least
    that many above -`error`.
    """

    positive: int
    error: float
    factors: Tensor
    pivots: Tensor

    def distance(self, A: Tensor, seed: int) -> float:
        """Return a number d >= 0: no eigenvalue of A is closer to 0 than d, which fails with a chance of CHANCE.

        With Gaussian v_j, x_j from the factors and r_j = v_j - A x_j, beta = |A^-1|_2 is at most
        c max_j |A^-1 v_j| <= c (max_j |x_j| + beta max_j |r_j|), see `caution`, so that
        1 / beta >= (1 - c max_j |r_j|) / (c max_j |x_j|). The rounding of r_j takes (n + 2) eps |A|_F from it.
        """
        V = probes(len(A), seed, STREAM, range(NUM_TESTS), "gaussian", A.dtype, A.device)
        X = torch.linalg.ldl_solve(self.factors, self.pivots, V)
        c, longest, missed = caution(CHANCE, NUM_TESTS), float(norms(X).max()), float(norms(V - A @ X).max())
        if not 0 < longest < np.inf or not c * missed < 1:
            return 0.0
        return max(0.0, (1 - c * missed) / (c * longest) - (len(A) + 2) * EPS * _size(A))


def inertia(A: Tensor) -> Inertia:
    """Return the inertia of a symmetric A (n, n), n >= 1, in float64, by Bunch and Kaufman's factorization (1977).

    |E| <= c (n + 8) eps (|A| + P'|L||D||L'|P) entry by entry (Higham 2002, theorem 11.3). In norm |A| is at most
    |A|_F, and |L||D||L'| at most sum_k w_k |l_k|^2 over the columns l_k of L, with w_k = |d_kk| for a pivot of one row
    and |d_kk| + |d_kj| for one of two. Raises FloatingPointError where A is not finite.

    Example:
        >>> inertia(torch.diag(torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64))).positive
        2
    """
    size = _size(A)
    if not np.isfinite(size):
        raise FloatingPointError("the matrix is not finite, or its squares overflow")
    factors, pivots, _ = torch.linalg.ldl_factor_ex(A)  # info > 0 marks a pivot that is 0: it is not positive
    d, first = factors.diagonal().clone(), _firsts(pivots)
    beside = factors[first + 1, first]
    weights = d.abs()
    weights[first] += beside.abs()
    weights[first + 1] += beside.abs()
    squares = _squared_columns(factors)
    squares[first] -= beside**2  # an entry of D is stored there, not of L
    error = (len(A) + EXTRA) * EPS * (size + float(weights @ squares.clamp_min(1.0)))
    opposite = d[first] * d[first + 1] < beside**2  # of one sign each; so is every pivot that the search takes
    trace = d[first] + d[first + 1]
    positive = int((d[pivots > 0] > 0).sum()) + int(opposite.sum()) + 2 * int((~opposite & (trace > 0)).sum())
    return Inertia(positive, error if np.isfinite(error) else np.inf, factors, pivots)


def _firsts(pivots: Tensor) -> Tensor:
    """Return the first rows of the pivots of two rows, both of which are marked by a negative number."""
    marked, found, k = (pivots < 0).cpu().numpy(), [], 0
    while k < len(marked):
        found += [k] if marked[k] else []
        k += 2 if marked[k] else 1
    return torch.tensor(found, dtype=torch.int64, device=pivots.device)


def _squared_columns(factors: Tensor) -> Tensor:
    """Return the squared norms of the columns of the unit lower triangle in the lower half of `factors`."""
    squares = factors.new_empty(len(factors))
    for i in range(0, len(factors), TILE):  # without a copy of the whole matrix
        squares[i : i + TILE] = (factors[i:, i : i + TILE].tril(-1) ** 2).sum(0)
    return squares + 1


def _size(A: Tensor) -> float:
    """Return |A|_F."""
    return float(torch.linalg.matrix_norm(A))


class Thresholds:
    """Counts of eigenvalues of a positive semidefinite A (n, n) above thresholds.

    The diagonal of A is moved in place, and moved back.
    """

    def __init__(self, A: Tensor, seed: int):
        self.A, self.seed = A, seed
        self._diagonal = A.diagonal().clone()
        self._slack = (len(A) + EXTRA) * EPS * (_size(A) + float(self._diagonal.sum()))

    def all_above(self, threshold: float) -> bool:
        """Return True where Cholesky's factorization proves all eigenvalues above a threshold t >= 0.

        That of A - t I - s I exists in floating point only if A - t I > 0, for s = (n + 1) eps tr A (Demmel 1989;
        Higham 2002, theorem 10.7). It takes half of the time of `inertia`.
        """
        step = (len(self.A) + 1) * EPS * float(self._diagonal.sum())
        self.A.diagonal().sub_(threshold + 2 * step)
        try:
            return int(torch.linalg.cholesky_ex(self.A)[1]) == 0
        finally:
            self.A.diagonal().copy_(self._diagonal)

    def count(self, low: float, high: float, least: int, most: int) -> tuple[int, int, float]:
        """Return bounds (a, b) on the number of eigenvalues above any threshold in [low, high], and their confidence.

        The number is known to be from `least` to `most`. The inertia of A - t I, t above the window by its own error,
        gives a; it is b too where no eigenvalue is as close to t as the other end of the window. Otherwise the inertia
        below the window gives b, and `most` where that is below 0.
        """
        if least >= most:
            return most, most, 1.0
        lower, alone = self._beyond(high, 1, high - low)
        lower = min(max(lower or 0, least), most)
        if alone or lower == most:
            return lower, lower, 1 - CHANCE if alone else 1.0
        below, _ = self._beyond(low, -1)
        return lower, most if below is None else max(lower, min(most, below)), 1.0

    def _beyond(self, end: float, side: int, window: float | None = None) -> tuple[int | None, bool]:
        """Return the number above a threshold past the end by the error of its factorization, None where there is none.

        Beside it True, if a `window` is given and no eigenvalue lies in it.
        """
        step = max(2 * self._slack, min(8 * self._slack, 1e-4 * end))  # pivots make the error six times as large
        for _ in range(ROUNDS):
            if end + side * step <= 0:
                break
            self.A.diagonal().copy_(self._diagonal - (end + side * step))
            try:
                found = inertia(self.A)
                if found.error <= step:
                    alone = window is not None and found.distance(self.A, self.seed) > max(window + step, found.error)
                    return found.positive, alone
            finally:
                self.A.diagonal().copy_(self._diagonal)
            step = 2 * found.error
        return None, False
