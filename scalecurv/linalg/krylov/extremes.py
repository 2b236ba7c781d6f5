"""The two ends of a spectrum from one Lanczos run, each inside a two-sided certificate."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

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


STREAM = "lanczos start"
DELTA = 1e-3  # an end lies outside its interval with at most this probability, for one of three reasons:
NOISE = 1e-4  # the arithmetic adds more to A than its bound says
FRESH = 5e-4  # the fresh start that follows upon restarts has next to nothing of the end's eigenvector
START = DELTA - NOISE - FRESH  # the first start has not
EIGHTH = 8  # products a further ulp
ROUNDING = 32  # ulps of |H| by which a Ritz value may be off; 12 were seen in float64
UNDERFLOW = 1e-150  # what a norm cannot tell from 0, as its squares vanish
EVERY = 5  # steps between two looks at the certificate
NEAR_ZERO = 0.1  # of |H|: below this an end is asked for to rtol of this, not of itself


@dataclass(frozen=True)
class Ends:
    """The largest and the smallest eigenvalue (algebraic), as estimates with certified intervals."""

    largest: Estimate
    smallest: Estimate

    @property
    def norm(self) -> float:
        """A bound on |A|_2 that fails with probability at most 2 DELTA, noise included."""
        return max(abs(self.largest.upper), abs(self.smallest.lower))

    def charged(self, num_matvecs: int) -> "Ends":
        """The same ends, `num_matvecs` products dearer."""
        return Ends(*(replace(end, num_matvecs=end.num_matvecs + num_matvecs) for end in (self.largest, self.smallest)))

    @property
    def known(self) -> bool:
        return self.largest.status is self.smallest.status is Status.CERTIFIED


@dataclass(frozen=True)
class Extremes(Ends):
    """Both ends, and the factorization they were read from."""

    factorization: Lanczos


def started(operator: Operand, seed: int, capacity: int, stream: str = STREAM) -> LanczosProcess:
    """A Lanczos process from the seed's Gaussian start vector, which makes the certificate hold."""
    operator = aslinearoperator(operator)
    start = probes(operator.shape[0], seed, stream, [0], "gaussian", torch.float64)[:, 0].to(operator.device)
    return LanczosProcess(operator, start, capacity)


def first_look(process: LanczosProcess, enough: Callable[[Lanczos], bool], num_matvecs: int) -> Lanczos:
    """The factorization after the first 5, 10, 15, ... steps that are enough, or after all that can be had.

    Depends on the process's operator and start alone, not on how far it had been taken before.
    """
    for k in range(EVERY, num_matvecs + EVERY, EVERY):
        process.advance(min(k, num_matvecs))
        run = process.first(min(k, num_matvecs, process.steps))
        if len(run.alphas) < k or run.invariant or enough(run):
            break
    return run


def ends_of(run: Lanczos, rtol: float, noise: float = 0.0, delta: float = START) -> Ends:
    """Both ends from one run with a Gaussian start.

    A Ritz value is a bound from the inside; from the outside the Lanczos polynomial bounds each end but for a chance of
    `delta`: one, however many steps are looked at, as all share the start. The tolerance of an end is rtol |its value|,
    or rtol |A| / 10 where it is closer to zero than that. `noise` bounds what the arithmetic adds to A in norm, beyond
    a few ulps, but for a chance of NOISE. What is quoted, 1 - DELTA, leaves room for both.
    """
    n = run.basis.shape[0]
    betas = run.betas.copy()
    if len(betas) < n:  # a residual that is taken for zero is known no better than this
        betas[-1] = max(betas[-1], BREAKDOWN * torch.finfo(run.basis.dtype).eps * run.scale)
    else:
        betas[-1] = 0.0
    ritz = eigvalsh_tridiagonal(run.alphas, betas[:-1])
    top, bottom = float(ritz[-1]), float(ritz[0])
    above = largest_eigenvalue_bound(run.alphas, betas, n, delta)
    below = -largest_eigenvalue_bound(-run.alphas, betas, n, delta)
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
    """Ritz values bottom..top with the bounds below..above around them, rounding added, as estimates."""
    norm = max(abs(top), abs(bottom))
    slack = max(rounding_of(norm, dtype, num_matvecs), noise)
    tolerance = Tolerance(rtol, NEAR_ZERO * norm)

    def end(value: float, lower: float, upper: float) -> Estimate:
        raw = Estimate(value, NAN, lower - slack, upper + slack, 1 - DELTA, 1, num_matvecs, "lanczos", Status.BUDGET)
        return tolerance.settle(raw, Status.CERTIFIED)

    return Ends(end(top, top, above), end(bottom, below, bottom))


def rounding_of(norm: float, dtype: torch.dtype, num_matvecs: int = 0) -> float:
    """The error that rounding may leave in a Ritz value of an operator of this norm; 0 where the operator is 0.

    Restarts add up what each product leaves: 188 ulps were seen after 2,000 products.
    """
    ulps = ROUNDING + num_matvecs / EIGHTH
    return max(ulps * torch.finfo(dtype).eps * norm, UNDERFLOW) if norm else 0.0


def extreme_eigenvalues(
    operator: Operand, seed: int, rtol: float, num_matvecs: int, stream: str = STREAM, delta: float = START
) -> Extremes:
    """Lanczos from a Gaussian start until both ends are known to `rtol`, in at most `num_matvecs` products."""
    process = started(operator, seed, num_matvecs, stream)
    run = first_look(process, lambda run: ends_of(run, rtol, delta=delta).known, num_matvecs)
    ends = ends_of(run, rtol, delta=delta)
    return Extremes(ends.largest, ends.smallest, run)
