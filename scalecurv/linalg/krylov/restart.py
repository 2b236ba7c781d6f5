"""Thick restart: a Krylov space of bounded size that keeps the ends of the spectrum and grows again."""

from collections.abc import Callable

import numpy as np
import torch

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator


def thick_restart(
    operator: Operand, space: RitzSpace, size: int, num_matvecs: int, done: Callable[[RitzSpace], bool]
) -> RitzSpace:
    """Return `space` after cycles that shrink it to size / 2 outermost Ritz vectors and grow it to `size` again.

    The cycles end where `done(space)` is True, where the space is invariant, or after `num_matvecs` products beyond
    those of `space`. A cycle takes about size / 2 products and never holds more than 1.5 size + 2 vectors. The result
    equals the Krylov space of an implicitly restarted run with the dropped Ritz values as shifts. Raises ValueError
    for a size below 4, FloatingPointError where a coefficient overflows.
    (Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22)
    """
    if size < 4:
        raise ValueError(f"size={size}: a restart needs room for 4 vectors")
    operator, limit = aslinearoperator(operator), space.num_matvecs + num_matvecs
    while not done(space) and space.num_matvecs < limit and float(np.abs(space.coupling).max()) > 0:
        space = space.narrowed(space.outermost(size // 2))  # the larger space is freed before this one grows
        space = _grown(operator, space, size, limit)
    return space


def _grown(operator: LinearOperator, space: RitzSpace, size: int, limit: int) -> RitzSpace:
    kept = space.basis.shape[1]
    size = min(size, kept + limit - space.num_matvecs, operator.shape[0])
    rows = torch.empty(size + 1, operator.shape[0], dtype=operator.dtype, device=operator.device)
    rows[:kept], rows[kept] = space.basis.T, space.residual
    T = np.zeros((size, size))
    T[:kept, :kept] = space.projected
    floor, k, beta = 10 * torch.finfo(operator.dtype).eps, kept, 0.0
    while k < size:
        residual, coefficients = project_out(operator.matmat(rows[k : k + 1].T), rows[: k + 1].T)
        T[: k + 1, k] = T[k, : k + 1] = coefficients[:, 0].cpu().numpy()
        beta = float(norms(residual)[0])
        if not np.isfinite(beta):
            raise FloatingPointError(f"a Lanczos coefficient in {operator.dtype} is not finite: |Av|^2 overflows")
        k += 1
        if beta <= floor * np.abs(T[:k, :k]).max():
            beta = rows[k] = 0.0  # invariant: no residual is left to continue with
            break
        rows[k] = residual[:, 0] / beta
    coupling = np.zeros(k)
    coupling[-1] = beta
    return RitzSpace(rows[:k].T, T[:k, :k], coupling, rows[min(k, size)], space.num_matvecs + k - kept)
