"""A subspace with what the operator does to it: Ritz pairs, and nothing about how the subspace came about."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import project_out
from scalecurv.linalg.krylov.lanczos import ADVICE, Lanczos
from scalecurv.linalg.operator import LinearOperator


@dataclass(frozen=True)
class RitzSpace:
    """A Q = Q T + r c', with Q'Q = I, Q'r = 0, |r| = 1 and T symmetric.

    `basis` Q has shape (n, k), `projected` T (k, k) and `coupling` c (k,) in float64, `residual` r (n,);
    `num_matvecs` is what all of it took. The relation gives |AQ|_F^2 = |T|_F^2 + |c|^2 without a further product.
    """

    basis: Tensor
    projected: np.ndarray
    coupling: np.ndarray
    residual: Tensor
    num_matvecs: int

    @classmethod
    def of(cls, run: Lanczos) -> "RitzSpace":
        """The space of a Lanczos run: c = |r| e_k."""
        coupling = np.zeros(len(run.alphas))
        coupling[-1] = run.residual_norm
        return cls(run.basis, run.projected, coupling, run.residual / (float(run.betas[-1]) or 1.0), run.num_matvecs)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = np.linalg.eigh(self.projected)
        return values, vectors

    @property
    def values(self) -> np.ndarray:
        """Ritz values theta_j, ascending, shape (k,)."""
        return self._pairs[0]

    @property
    def residuals(self) -> np.ndarray:
        """|A u_j - theta_j u_j| of each Ritz pair: an eigenvalue lies within it. Shape (k,)."""
        return np.abs(self.coupling @ self._pairs[1])

    def narrowed(self, chosen: np.ndarray) -> "RitzSpace":
        """The span of the chosen Ritz vectors (indices), in the same relation with the same r."""
        small = self._pairs[1][:, chosen]
        basis = self.basis @ torch.from_numpy(small).to(self.basis.device, self.basis.dtype)
        return RitzSpace(
            basis, np.diag(self.values[chosen]), self.coupling @ small, self.residual.clone(), self.num_matvecs
        )

    def outermost(self, count: int) -> np.ndarray:
        """Indices of `count` Ritz values from the two ends of the spectrum, half from each, ascending."""
        k = len(self.values)
        low = min(count // 2, k)
        return np.unique(np.r_[:low, max(low, k - (count - low)) : k])


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


class Remainder(LinearOperator):
    """z -> R A R z for orthonormal Q of shape (n, k); one product of A each.

    Its eigenvalues outside Q interlace with those of A, so that no bound on |A| is ever too small for it.
    """

    symmetric = True

    def __init__(self, operator: Operand, Q: Tensor):
        operator = aslinearoperator(operator)
        if not operator.symmetric:
            raise TypeError(f"a remainder needs a symmetric operator, {operator.name} is not declared so; {ADVICE}")
        self.operator, self.Q = operator, Q
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device

    def _matmat(self, V: Tensor) -> Tensor:
        outside, _ = project_out(V, self.Q)
        product, _ = project_out(self.operator.matmat(outside), self.Q)
        return product
