"""A subspace with the action of the operator on it, and the bounds on eigenvalues that follow, however it was built."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import project_out
from scalecurv.linalg.krylov.lanczos import ADVICE, Lanczos
from scalecurv.linalg.operator import LinearOperator


@dataclass(frozen=True, eq=False)
class RitzSpace:
    """A Q = Q T + r c', with Q'Q = I, Q'r = 0, |r| = 1 and T symmetric.

    `basis` Q has shape (n, k), `projected` T (k, k) and `coupling` c (k,) in float64, `residual` r (n,);
    `num_matvecs` counts the products that built it. |AQ|_F^2 = |T|_F^2 + |c|^2 follows without a further product.
    """

    basis: Tensor
    projected: np.ndarray
    coupling: np.ndarray
    residual: Tensor
    num_matvecs: int

    @classmethod
    def of(cls, run: Lanczos) -> "RitzSpace":
        """Return the space of a Lanczos run, where c = |r| e_k."""
        coupling = np.zeros(len(run.alphas))
        coupling[-1] = run.residual_norm
        return cls(run.basis, run.projected, coupling, run.residual / (float(run.betas[-1]) or 1.0), run.num_matvecs)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = np.linalg.eigh(self.projected)
        return values, vectors

    @property
    def values(self) -> np.ndarray:
        """The Ritz values theta_j, ascending, shape (k,)."""
        return self._pairs[0]

    @property
    def residuals(self) -> np.ndarray:
        """The norms |A u_j - theta_j u_j|, shape (k,); an eigenvalue lies within each of its Ritz value."""
        return np.abs(self.coupling @ self._pairs[1])

    def narrowed(self, chosen: np.ndarray) -> "RitzSpace":
        """Return the span of the Ritz vectors with indices `chosen`; the relation holds with the same r."""
        small = self._pairs[1][:, chosen]
        basis = self.basis @ torch.from_numpy(small).to(self.basis.device, self.basis.dtype)
        return RitzSpace(
            basis, np.diag(self.values[chosen]), self.coupling @ small, self.residual.clone(), self.num_matvecs
        )

    def outermost(self, count: int) -> np.ndarray:
        """Return the indices of `count` Ritz values, half from each end of the spectrum, ascending."""
        k = len(self.values)
        low = min(count // 2, k)
        return np.unique(np.r_[:low, max(low, k - (count - low)) : k])


def largest_bounds(space: RitzSpace, rest: float, n: int, count: int) -> np.ndarray:
    """Return upper bounds on the `count` largest eigenvalues of A (n x n), descending.

    `rest` is an upper bound on R A R, R = I - QQ'. As AQ = QT + r c', A is at most
    [[T, c, 0], [c', rest, 0], [0, 0, rest I]] in a basis that begins with Q and r, and each eigenvalue of A is at most
    the eigenvalue of the same rank of that matrix (Weyl 1912). A bound exceeds its Ritz value by about
    c_j^2 / (theta_j - rest) only.
    """
    return _bordered(space, rest, n, count)[::-1][:count]


def smallest_bounds(space: RitzSpace, rest: float, n: int, count: int) -> np.ndarray:
    """Return lower bounds on the `count` smallest eigenvalues of A (n x n), ascending, where R A R >= `rest`.

    They are the smallest eigenvalues of the matrix of `largest_bounds`, which is at most A then.
    """
    return _bordered(space, rest, n, count)[:count]


def _bordered(space: RitzSpace, rest: float, n: int, count: int) -> np.ndarray:
    """Return the eigenvalues of [[T, c, 0], [c', rest, 0], [0, 0, rest I]], ascending, at most `count` of the I's."""
    k = len(space.coupling)
    if k == n:
        return np.sort(space.values)
    c = space.coupling[:, None]
    inner = np.linalg.eigvalsh(np.block([[space.projected, c], [c.T, np.array([[rest]])]]))
    return np.sort(np.r_[inner, [rest] * min(count, n - k - 1)])


class Remainder(LinearOperator):
    """The operator R A R, R = I - QQ', for orthonormal Q of shape (n, k); each product takes one product of A.

    Its eigenvalues outside Q interlace with those of A, so that a bound on |A| bounds it too.
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
