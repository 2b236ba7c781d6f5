"""The profile of a matrix J from J J': numbers of singular values above thresholds, and ratios of their sums."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.inertia import Thresholds
from scalecurv.linalg.krylov.extremes import DELTA, largest_eigenvalue_bound, rounding_of, started
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.ranks import between
from scalecurv.statistics.estimate import Estimate, Status

STEPS = 60  # of Lanczos, at most
EVERY = 4  # steps between two looks
ROWS = 256  # that are copied at once
SHARP = 1e-9  # relative width of the interval of the largest eigenvalue that ends the run


@dataclass(frozen=True)
class GramProfile:
    """J J' (m, m) in float64 for J of `shape` (m, n), or J'J, and what its profile rests on.

    `slack` bounds |computed - exact|_2 of the matrix. `low`..`high` holds its largest eigenvalue sigma_1^2, as
    computed, at `confidence`. `rank` is an upper bound on the rank of J.
    """

    gram: Tensor
    rank: int
    slack: float
    low: float
    high: float
    confidence: float
    seed: int

    def counts(self, taus: tuple[float, ...], methods: tuple[str, ...], above: float = 0.0) -> list[Estimate]:
        """Return #{i : sigma_i > tau sigma_1} for each tau, as an interval where double precision cannot tell.

        The eigenvalues of J J' differ from those of the computed matrix by `slack` at most (Weyl), so that the number
        is that of its eigenvalues above some threshold between tau^2 (low - slack) - slack and tau^2 (high + slack) +
        slack. Where sigma_1^2 of a larger matrix is at most `above`, its threshold is taken: the number is a lower
        bound on that of the larger matrix, whose rows include those of J.
        """
        if not self.high:
            return [Estimate.enclosed(0, 0, 0, method, Status.CONVERGED) for method in methods]
        found: dict[float, Estimate] = {}
        high = max(self.high, above)
        low = (high if above else self.low) - self.slack
        thresholds, least = Thresholds(self.gram, self.seed), 0
        all_down_to = self._all_above(thresholds, taus, high)
        for tau, method in sorted(zip(taus, methods, strict=True), reverse=True):
            least = self.rank if tau <= all_down_to else least
            window = tau**2 * max(low, 0.0) - self.slack, tau**2 * (high + self.slack) + self.slack
            lower, upper, sure = thresholds.count(*window, least, self.rank)
            status = Status.CONVERGED if lower == upper else Status.LOWER_BOUND
            sure = min(sure, self.confidence)
            found[tau] = Estimate.enclosed(lower, lower, upper, method, status, confidence=sure)
            least = lower
        return [found[tau] for tau in taus]

    def _all_above(self, thresholds: Thresholds, taus: tuple[float, ...], high: float) -> float:
        """Return the largest tau above which all singular values are proven to be, 0 where there is none.

        It halves the list of all tau, as each proof is one for smaller ones too.
        """
        if self.rank < len(self.gram):
            return 0.0
        ordered, first, last = sorted(taus), 0, len(taus)
        while first < last:
            middle = (first + last) // 2
            if thresholds.all_above(ordered[middle] ** 2 * (high + self.slack) + self.slack):
                first = middle + 1
            else:
                last = middle
        return ordered[first - 1] if first else 0.0

    @property
    def trace(self) -> float:
        """sum_i sigma_i^2."""
        return float(self.gram.trace())

    def stable_rank(self, method: str) -> Estimate:
        """Return sum sigma^2 / sigma_1^2; the trace of J J' is exact up to `slack`, as the sum of its rounding is."""
        if not self.high:
            return Estimate.not_applicable("J is zero")
        lower = (self.trace - self.slack) / (self.high + self.slack)
        upper = (self.trace + self.slack) / (self.low - self.slack) if self.low > self.slack else math.inf
        return between(lower, upper, self.rank, method, self.confidence)

    def participation_ratio(self, method: str) -> Estimate:
        """Return (sum sigma^2)^2 / sum sigma^4 = (tr J J')^2 / |J J'|_F^2, each exact up to `slack`."""
        if not self.high:
            return Estimate.not_applicable("J is zero")
        norm = _norm(self.gram)
        lower = ((self.trace - self.slack) / (norm + self.slack)) ** 2
        upper = ((self.trace + self.slack) / (norm - self.slack)) ** 2 if norm > self.slack else math.inf
        return between(lower, upper, self.rank, method, 1.0)


def gram_profile(gram: Tensor, terms: int, rank: int, seed: int) -> GramProfile:
    """Return the profile of a matrix of rank at most `rank` from J J' or J'J, whose entries sum `terms` products.

    The rounding of the entries is at most (terms + m) eps tr(J J') in norm, as |J||J|' has this trace (Higham 2002,
    chapter 3). Raises FloatingPointError where the matrix is not finite.
    """
    trace = float(gram.trace())
    if not math.isfinite(trace) or not math.isfinite(float(torch.linalg.matrix_norm(gram))):
        raise FloatingPointError("J J' is not finite, or its squares overflow")
    slack = (terms + len(gram)) * float(np.finfo(np.float64).eps) * trace
    low, high, confidence = _largest(gram, seed) if trace else (0.0, 0.0, 1.0)
    return GramProfile(gram, rank, slack, low, high, confidence, seed)


def _largest(gram: Tensor, seed: int) -> tuple[float, float, float]:
    """Return an interval of the largest eigenvalue of a matrix A >= 0 and its confidence, by Lanczos on A.

    After k steps A is [T, B'; B, C] in the basis of the run and its complement, where only the last column of B is not
    zero and has the norm b. |C|_F^2 = |A|_F^2 - |T|_F^2 - 2 b^2 is known. With x the first Ritz vector, theta its
    value and r its residual, A is at most mu = max(theta_2, |C|_F) + b on the complement of x, so that
    lambda_1 <= theta + r^2 / (theta - mu) where mu < theta. Elsewhere the bound of the Lanczos polynomial holds with a
    probability of 1 - DELTA.
    """
    operator = DenseOperator(gram, symmetric=True)
    process = started(operator, seed, min(STEPS, len(gram)))
    square = float(torch.linalg.matrix_norm(gram)) ** 2
    while True:
        process.advance(process.steps + EVERY)
        run = process.first(process.steps)
        theta, high, sure = _bounds(run, square, len(gram))
        if high - theta <= SHARP * theta or process.finished:
            break
    if not sure:
        high = largest_eigenvalue_bound(run.alphas, run.betas, len(gram), DELTA)
    slack = rounding_of(theta, gram.dtype, run.num_matvecs)
    return max(theta - slack, 0.0), max(high, theta) + slack, 1.0 if sure else 1 - DELTA


def _norm(gram: Tensor) -> float:
    """Return |A|_F of a matrix A >= 0 in units of its largest entry, so that no square underflows; by some rows each.

    The largest entry is on the diagonal.
    """
    unit = float(gram.diagonal().max()) or 1.0
    return unit * math.hypot(*(float(torch.linalg.matrix_norm(rows / unit)) for rows in gram.split(ROWS)))


def _bounds(run: Lanczos, square: float, n: int) -> tuple[float, float, bool]:
    """Return the first Ritz value, and an upper bound on the largest eigenvalue, and whether it is proven."""
    nodes, vectors = eigh_tridiagonal(run.alphas, run.betas[:-1])
    theta, beta = float(nodes[-1]), float(run.betas[-1]) if len(nodes) < n else 0.0
    rest = max(square - float((run.projected**2).sum()) - 2 * beta**2, 0.0)
    rest = math.sqrt(rest + n * float(np.finfo(np.float64).eps) * square) if len(nodes) < n else 0.0
    mu = max(float(nodes[-2]) if len(nodes) > 1 else 0.0, rest) + beta
    if mu >= theta:
        return theta, math.inf, False
    return theta, theta + (beta * float(vectors[-1, -1])) ** 2 / (theta - mu), True
