"""The Lanczos factorization of a symmetric operator, with full reorthogonalization."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.inner import dots, norms
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.orthogonalize import project_out
from scalecurv.linalg.quadrature import Quadrature, gauss_quadrature

Stop = Callable[[np.ndarray, np.ndarray], bool]


@dataclass(frozen=True)
class Lanczos:
    """A Q = Q T + r e_k', with Q'Q = I, Q'r = 0 and T tridiagonal (k steps, k products).

    `basis` Q has shape (n, k) in the operator's dtype; `alphas` (k,) is T's diagonal, betas[:-1] its
    off-diagonal and betas[-1] = |r|; `residual` r has shape (n,). `invariant` says that r vanished: the basis
    spans an invariant subspace and every Ritz value is an eigenvalue.
    """

    basis: Tensor
    alphas: np.ndarray
    betas: np.ndarray
    residual: Tensor
    invariant: bool

    @property
    def num_matvecs(self) -> int:
        return len(self.alphas)

    @property
    def quadrature(self) -> Quadrature:
        """Ritz values, their weights in the start vector and their residuals."""
        return gauss_quadrature(self.alphas, self.betas)


def lanczos(operator: LinearOperator, start: Tensor, num_matvecs: int, stop: Stop | None = None) -> Lanczos:
    """Run at most `num_matvecs` steps from `start` (n,), fewer if `stop(alphas, betas)` says so.

    Stops by itself when the residual is rounding (breakdown): the Krylov space is then invariant. Every new
    vector is orthogonalized twice against the whole basis, whose k vectors stay in memory. Raises ValueError
    on a zero start vector, TypeError on an operator that is not declared symmetric, FloatingPointError where a
    coefficient overflows. (Lanczos 1950; Paige 1971)
    """
    n = operator.shape[0]
    if not operator.symmetric:
        raise TypeError(f"lanczos needs a symmetric operator, {type(operator).__name__} does not declare itself so")
    if num_matvecs < 1:
        raise ValueError(f"num_matvecs={num_matvecs}: at least one product is needed")
    length = float(norms(start[:, None])[0])
    if length == 0:
        raise ValueError("the start vector is zero: draw it at random")
    steps = min(num_matvecs, n)
    # one basis vector a row, so that each is contiguous; seen from outside as columns
    rows = torch.empty(steps, n, dtype=operator.dtype, device=operator.device)
    rows[0] = (start / length).to(operator.dtype)
    alphas, betas = np.zeros(steps), np.zeros(steps)
    floor = 10 * torch.finfo(operator.dtype).eps
    for k in range(1, steps + 1):
        q = rows[k - 1 : k].T
        product = operator.matmat(q)
        residual, coefficients = project_out(product, rows[:k].T)
        alphas[k - 1] = float(coefficients[-1, 0])
        betas[k - 1] = float(norms(residual)[0])
        scale = max(np.abs(alphas[:k]).max(), betas[:k].max(), float(norms(product)[0]))
        if not np.isfinite(scale):
            raise FloatingPointError(f"a Lanczos coefficient in {operator.dtype} is not finite: |Av|^2 overflows")
        invariant = k == n or betas[k - 1] <= floor * scale
        if invariant or k == steps or (stop is not None and stop(alphas[:k], betas[:k])):
            break
        rows[k] = residual[:, 0] / betas[k - 1]
    return Lanczos(rows[:k].T, alphas[:k], betas[:k], residual[:, 0], bool(invariant))


def rayleigh_quotient(operator: LinearOperator, v: Tensor) -> float:
    """v'Av / v'v in one product, for v of shape (n,)."""
    block = v[:, None]
    return float(dots(block, operator.matmat(block))[0] / dots(block, block)[0])
