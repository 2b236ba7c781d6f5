"""The two ends of a spectrum in bounded memory: restarts sharpen the Ritz pairs, a fresh start certifies them."""

from dataclasses import dataclass, replace

import numpy as np

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.krylov.extremes import FRESH, NEAR_ZERO, End, Ends, certified_ends, extreme_eigenvalues
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import Remainder, RitzSpace, largest_bounds, smallest_bounds

STREAM = "remainder start"


@dataclass(frozen=True)
class Restarted:
    """Both ends of the spectrum, certified, and the Ritz space that gave them."""

    ends: Ends
    space: RitzSpace


def restarted_extremes(
    operator: Operand,
    space: RitzSpace,
    seed: int,
    rtol: float,
    size: int,
    num_matvecs: int,
    noise: float = 0.0,
    end: End | None = None,
) -> Restarted:
    """Return both ends after at most `num_matvecs` further products, in memory for 1.5 `size` + 2 vectors.

    The run ends with size / 2 Ritz vectors Y from both ends, with AY = Y Theta + r c'. A fresh Gaussian start bounds
    the remainder R A R, R = I - YY', from both sides by mu; then lambda_max(A) <= lambda_max([[Theta, c], [c', mu]]),
    which is above the Ritz value by about |c|^2 / (theta - mu) only (see `largest_bounds`). The bound therefore also
    covers eigenvectors that the first start missed. A run that continues after a first one has two chances to fail,
    START for the first start and FRESH for the fresh one; DELTA covers both. The restarts end once the residuals of
    both ends are small, or of the `end` that is named.
    """
    operator = aslinearoperator(operator)
    check = min(size // 2, max(num_matvecs // 4, 2))
    outer = {None: [0, -1], "smallest": [0], "largest": [-1]}[end]

    def converged(space: RitzSpace) -> bool:
        values, off = space.values[outer], space.residuals[outer]
        asked = rtol * np.maximum(np.abs(values), NEAR_ZERO * np.abs(space.values[[0, -1]]).max())
        return bool((off <= asked / 10).all())

    space = thick_restart(operator, space, size, num_matvecs - check, converged)
    kept = space.narrowed(space.outermost(size // 2))
    rest = extreme_eigenvalues(Remainder(operator, kept.basis), seed, 0.0, check, STREAM, FRESH)
    spent = space.num_matvecs + rest.factorization.num_matvecs
    n = operator.shape[0]
    above = float(largest_bounds(kept, rest.largest.upper, n, 1)[0])
    below = float(smallest_bounds(kept, rest.smallest.lower, n, 1)[0])
    bottom, top = float(kept.values[0]), float(kept.values[-1])
    ends = certified_ends(bottom, top, min(below, bottom), max(above, top), rtol, operator.dtype, spent, noise)
    return Restarted(ends, replace(kept, num_matvecs=spent))
