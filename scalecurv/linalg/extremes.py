"""The two ends of a spectrum from one Lanczos run, each inside a two-sided certificate."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigvalsh_tridiagonal

from scalecurv.estimate import NAN, Estimate, Status
from scalecurv.linalg.certificate import largest_eigenvalue_bound
from scalecurv.linalg.lanczos import Lanczos, lanczos
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes

STREAM = "lanczos start"
DELTA = 1e-3  # each end's bound fails with at most this probability
ROUNDING = 32  # ulps of |H| by which a Ritz value may be off; 12 were seen in float64
EVERY = 5  # steps between two looks at the certificate


@dataclass(frozen=True)
class Extremes:
    """lambda_max and lambda_min (algebraic), and the factorization they were read from."""

    largest: Estimate
    smallest: Estimate
    factorization: Lanczos


def extreme_eigenvalues(operator: LinearOperator, seed: int, rtol: float, num_matvecs: int) -> Extremes:
    """Lanczos from a Gaussian start until both ends are known to `rtol`, in at most `num_matvecs` products.

    A Ritz value is a bound from the inside; from the outside the Lanczos polynomial bounds each end with
    probability 1 - 10^-3. The tolerance of an end is rtol |its value|: one that is close to zero beside |H| is
    never known so well, its status stays `budget` and its interval says what is known.
    """
    n = operator.shape[0]
    start = probes(n, seed, STREAM, [0], "gaussian", torch.float64)[:, 0].to(operator.device)
    rounding = ROUNDING * torch.finfo(operator.dtype).eps

    def known(alphas: np.ndarray, betas: np.ndarray) -> bool:
        if len(alphas) % EVERY:
            return False
        return all(end.status is Status.CERTIFIED for end in _ends(alphas, betas, n, rtol, rounding))

    factorization = lanczos(operator, start, num_matvecs, known)
    betas = factorization.betas.copy()
    betas[-1] = 0.0 if factorization.invariant else betas[-1]
    return Extremes(*_ends(factorization.alphas, betas, n, rtol, rounding), factorization)


def _ends(alphas: np.ndarray, betas: np.ndarray, n: int, rtol: float, rounding: float) -> tuple[Estimate, Estimate]:
    ritz = eigvalsh_tridiagonal(alphas, betas[:-1])
    top, bottom, scale = float(ritz[-1]), float(ritz[0]), float(np.abs(ritz).max())
    slack = rounding * scale
    above = largest_eigenvalue_bound(alphas, betas, n, DELTA)
    below = -largest_eigenvalue_bound(-alphas, betas, n, DELTA)

    def certified(value: float, lower: float, upper: float) -> Estimate:
        estimate = Estimate(
            value, NAN, lower - slack, upper + slack, 1 - DELTA, 1, len(alphas), "lanczos", Status.BUDGET
        )
        return estimate.with_status(Status.CERTIFIED) if estimate.within(rtol) else estimate

    return certified(top, top, above), certified(bottom, below, bottom)
