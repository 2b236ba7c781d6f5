"""The two ends of a spectrum from one Lanczos run, each with a two-sided certificate."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from scipy.linalg import eigvalsh_tridiagonal
from scipy.special import betaincinv

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.krylov.lanczos import BREAKDOWN, Lanczos, LanczosProcess
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.stopping import Tolerance


def largest_eigenvalue_bound(alphas: np.ndarray, betas: np.ndarray, n: int, delta: float) -> float:
    """Return a number that the largest eigenvalue exceeds with probability at most `delta`.

    The start vector q is uniform on the sphere in R^n, so |q'u| > d for the top eigenvector u except with
    probability delta, d^2 being the delta-quantile of Beta(1/2, (n-1)/2). The Lanczos polynomial p_k has
    p_k(lambda) d <= 1 there, and grows past the largest Ritz value: its crossing of 1/d is the bound
    (van Dorsselaer, Hochstenbach and van der Vorst 2000, SIAM J. Matrix Anal. Appl. 22). `alphas` and `betas`,
    both (k,), are those of `Lanczos`, taken as exact: the caller adds the effect of rounding. The bound of -A,
    negated, is a lower bound on the smallest eigenvalue.
    """
    return _crossing(eigvalsh_tridiagonal(alphas, betas[:-1]), betas, n, delta)


def _crossing(ritz: np.ndarray, betas: np.ndarray, n: int, delta: float) -> float:
    """Return the t above all Ritz values, ascending, at which p_k(t) = prod_j (t - theta_j) / beta_j is 1/d.

    In s = ln(t - theta_k) the logarithm of p_k is increasing and convex, with slopes from 1 to k. Newton's steps from
    the right therefore fall towards the crossing and never pass it. t - theta_k is as sharp where it is far below
    an ulp of t, and neither p_k nor a product of betas overflows.
    """
    top = float(ritz[-1])
    if n == 1 or betas[-1] == 0:
        return top  # the space is invariant: the Ritz value is the eigenvalue
    gaps, height = top - ritz[:-1], _log_reach(n, delta) + float(np.log(betas).sum())
    s = height / len(betas)  # the crossing if all Ritz values were equal, which is right of it
    for _ in range(NEWTON):
        above = np.exp(s) + gaps
        step = (s + float(np.log(above).sum()) - height) / (1 + float((np.exp(s) / above).sum()))
        s -= step
        if step <= SHARP:
            break
    return top + float(np.exp(s))


@lru_cache
def _log_reach(n: int, delta: float) -> float:
    """Return ln(1/d), where d^2 is the delta-quantile of Beta(1/2, (n-1)/2)."""
    return -0.5 * math.log(betaincinv(0.5, (n - 1) / 2, delta))


NEWTON = 100  # steps; about ten are taken
SHARP = 1e-13  # relative to t - theta_k
STREAM = "lanczos start"
DELTA = 1e-3  # bound on the chance that an end lies outside its interval, the sum of three chances:
NOISE = 1e-4  # that the arithmetic adds more to A than its bound
FRESH = 5e-4  # that the fresh start after restarts has almost no component along the end's eigenvector
START = DELTA - NOISE - FRESH  # that the first start has almost none
EIGHTH = 8  # products that add one ulp to the bound on rounding
ROUNDING = 32  # ulps of |H| by which a Ritz value may be off; 12 were seen in float64
UNDERFLOW = 1e-150  # norms below this may compute as 0, as their squares underflow
EVERY = 5  # steps between two looks at what costs more than the certificate of one run
NEAR_ZERO = 0.1  # of |H|: the tolerance of an end closer to zero is rtol times this share of |H|


End = Literal["largest", "smallest"]


@dataclass(frozen=True)
class Ends:
    """The largest and the smallest (algebraic) eigenvalue, as estimates with certified intervals."""

    largest: Estimate
    smallest: Estimate

    @property
    def norm(self) -> float:
        """An upper bound on |A|_2; it fails with probability at most 2 DELTA, noise included."""
        return max(abs(self.largest.upper), abs(self.smallest.lower))

    def charged(self, num_matvecs: int) -> "Ends":
        """Return the ends with `num_matvecs` operator products added to their cost."""
        return Ends(self.largest.charged(num_matvecs), self.smallest.charged(num_matvecs))

    @property
    def known(self) -> bool:
        """True where both ends are certified to their tolerance."""
        return self.knows(None)

    def at(self, end: End) -> Estimate:
        """Return the largest or the smallest eigenvalue."""
        return self.largest if end == "largest" else self.smallest

    def knows(self, end: End | None) -> bool:
        """Return True where this end, or with None each of both, is certified to its tolerance."""
        ends = (self.largest, self.smallest) if end is None else (self.at(end),)
        return all(one.status is Status.CERTIFIED for one in ends)


@dataclass(frozen=True)
class Extremes(Ends):
    """Both ends of the spectrum, and the Lanczos factorization that gave them."""

    factorization: Lanczos


def started(operator: Operand, seed: int, capacity: int, stream: str = STREAM) -> LanczosProcess:
    """Return a Lanczos process from the seed's Gaussian start vector, on which the certificate rests."""
    operator = aslinearoperator(operator)
    start = probes(operator.shape[0], seed, stream, [0], "gaussian", torch.float64)[:, 0].to(operator.device)
    return LanczosProcess(operator, start, capacity)


def first_look(process: LanczosProcess, enough: Callable[[Lanczos], bool], num_matvecs: int, every: int = 1) -> Lanczos:
    """Return the factorization after the first step at which `enough` is True, or after `num_matvecs` steps.

    It looks after every step, or after `every`, 2 `every`, ... steps where a look is not cheap. An invariant space or
    full memory ends it earlier. The result depends on the operator and the start of the process, not on the number of
    steps that it had taken before.
    """
    for k in range(every, num_matvecs + every, every):
        process.advance(min(k, num_matvecs))
        run = process.first(min(k, num_matvecs, process.steps))
        if len(run.alphas) < k or run.invariant or enough(run):
            break
    return run


def ends_of(run: Lanczos, rtol: float, noise: float = 0.0, delta: float = START) -> Ends:
    """Return both ends from one run with a Gaussian start.

    A Ritz value bounds its end from inside the spectrum, and the Lanczos polynomial bounds it from outside. The
    polynomial bound fails with a chance of at most `delta`, once for all numbers of steps, as they share the start.
    The tolerance of an end is rtol |its value|, or rtol |A| / 10 where the end is closer to zero than |A| / 10.
    `noise` bounds, with a chance of NOISE to fail, the norm of what the arithmetic adds to A beyond a few ulps. The
    confidence of the estimates, 1 - DELTA, covers both chances.
    """
    n = run.basis.shape[0]
    betas = run.betas.copy()
    if len(betas) < n:  # a residual that counts as zero may be as large as this
        betas[-1] = max(betas[-1], BREAKDOWN * torch.finfo(run.basis.dtype).eps * run.scale)
    else:
        betas[-1] = 0.0
    ritz = eigvalsh_tridiagonal(run.alphas, betas[:-1])
    top, bottom = float(ritz[-1]), float(ritz[0])
    above, below = _crossing(ritz, betas, n, delta), -_crossing(-ritz[::-1], betas, n, delta)
    return certified_ends(bottom, top, below, above, rtol, run.basis.dtype, run.num_matvecs, noise)


def certified_ends(
    bottom: float,
    top: float,
    below: float,
    above: float,
    rtol: float,
    dtype: torch.dtype,
    num_matvecs: int,
    noise: float = 0.0,
) -> Ends:
    """Return the Ritz values `bottom` and `top` as estimates between `below` and `above`, each widened for rounding."""
    norm = max(abs(top), abs(bottom))
    slack = max(rounding_of(norm, dtype, num_matvecs), noise)
    tolerance = Tolerance(rtol, NEAR_ZERO * norm)

    def end(value: float, lower: float, upper: float) -> Estimate:
        raw = Estimate(value, NAN, lower - slack, upper + slack, 1 - DELTA, 1, num_matvecs, "lanczos", Status.BUDGET)
        return tolerance.settle(raw, Status.CERTIFIED)

    return Ends(end(top, top, above), end(bottom, below, bottom))


def rounding_of(norm: float, dtype: torch.dtype, num_matvecs: int = 0) -> float:
    """Return a bound on the error that rounding leaves in a Ritz value of an operator of this norm; 0 for norm 0.

    Restarts add up the rounding of all products: 188 ulps were seen after 2,000 products.
    """
    ulps = ROUNDING + num_matvecs / EIGHTH
    return max(ulps * torch.finfo(dtype).eps * norm, UNDERFLOW) if norm else 0.0


def extreme_eigenvalues(
    operator: Operand,
    seed: int,
    rtol: float,
    num_matvecs: int,
    stream: str = STREAM,
    delta: float = START,
    end: End | None = None,
) -> Extremes:
    """Return both ends by Lanczos from a Gaussian start, to `rtol` or after at most `num_matvecs` products.

    The run ends once the `end` that is named is certified, without waiting for the other; by default once both are.
    `seed` and `stream` draw the start; `delta` bounds the chance that the start hides an end. Raises TypeError on an
    operator that is not declared symmetric.

    Example:
        >>> import numpy as np
        >>> ends = extreme_eigenvalues(np.diag([4.0, 1.0, -2.0]), seed=0, rtol=0.01, num_matvecs=10)
        >>> round(ends.largest.value, 9), round(ends.smallest.value, 9), ends.largest.status.value
        (4.0, -2.0, 'certified')
    """
    process = started(operator, seed, num_matvecs, stream)
    run = first_look(process, lambda run: ends_of(run, rtol, delta=delta).knows(end), num_matvecs)
    ends = ends_of(run, rtol, delta=delta)
    return Extremes(ends.largest, ends.smallest, run)
