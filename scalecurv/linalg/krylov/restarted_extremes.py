"""The two ends of a spectrum in bounded memory: restarts sharpen the Ritz pairs, a fresh start certifies them."""

from dataclasses import dataclass, replace

import numpy as np

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.krylov.extremes import FRESH, NEAR_ZERO, Ends, certified_ends, extreme_eigenvalues
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import Remainder, RitzSpace

STREAM = "remainder start"


@dataclass(frozen=True)
class Restarted:
    """Both ends, certified, and the Ritz space that they were read from."""

    ends: Ends
    space: RitzSpace


def restarted_extremes(
    operator: Operand, space: RitzSpace, seed: int, rtol: float, size: int, num_matvecs: int, noise: float = 0.0
) -> Restarted:
    """Go on from `space` with at most `num_matvecs` products while never holding more than 1.5 `size` + 2 vectors.

    Half of `size` Ritz vectors Y from both ends are kept, with AY = Y Theta + r c'. A fresh Gaussian start bounds the
    remainder R A R, R = I - YY', from both sides by mu; then lambda_max(A) <= lambda_max([[Theta, c], [c', mu]]), which
    is above the Ritz value by about |c|^2 / (theta - mu) only. Nothing that the first start missed can hide. Whoever
    goes on because the first run was not enough takes two chances to fail: this start has a smaller one of its own.
    """
    operator = aslinearoperator(operator)
    check = min(size // 2, max(num_matvecs // 4, 2))

    def converged(space: RitzSpace) -> bool:
        values, off = space.values[[0, -1]], space.residuals[[0, -1]]
        asked = rtol * np.maximum(np.abs(values), NEAR_ZERO * np.abs(values).max())
        return bool((off <= asked / 10).all())

    space = thick_restart(operator, space, size, num_matvecs - check, converged)
    kept = space.narrowed(space.outermost(size // 2))
    rest = extreme_eigenvalues(Remainder(operator, kept.basis), seed, 0.0, check, STREAM, FRESH)
    spent = space.num_matvecs + rest.factorization.num_matvecs
    above = np.linalg.eigvalsh(_bordered(kept, rest.largest.upper))[-1]
    below = np.linalg.eigvalsh(_bordered(kept, rest.smallest.lower))[0]
    bottom, top = float(kept.values[0]), float(kept.values[-1])
    ends = certified_ends(
        bottom, top, min(float(below), bottom), max(float(above), top), rtol, operator.dtype, spent, noise
    )
    return Restarted(ends, replace(kept, num_matvecs=spent))


def _bordered(kept: RitzSpace, corner: float) -> np.ndarray:
    c = kept.coupling[:, None]
    return np.block([[kept.projected, c], [c.T, np.array([[corner]])]])
