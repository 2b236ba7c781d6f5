"""The Lanczos factorization of a symmetric operator, with full reorthogonalization."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import norms, project_out


@dataclass(frozen=True)
class Quadrature:
    """Nodes and weights with sum_j weights[j] f(nodes[j]) ~ q'f(A)q for the unit start vector q.

    The rule is exact for polynomials f of degree 2k - 1 (Golub and Welsch 1969). The nodes are the Ritz values,
    ascending, shape (k,). `residuals[j]` = |A u_j - nodes[j] u_j| is the distance within which an eigenvalue lies.
    `small_vectors` (k, k) are the eigenvectors of the tridiagonal matrix, one a column.
    """

    nodes: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    small_vectors: np.ndarray


def gauss_quadrature(alphas: np.ndarray, betas: np.ndarray) -> Quadrature:
    """Return the k-node rule of the tridiagonal matrix with diagonal `alphas` (k,) and off-diagonal betas[:-1].

    `betas` has shape (k,): its last entry is the norm of the residual left after the last step.
    """
    nodes, vectors = eigh_tridiagonal(alphas, betas[:-1])
    return Quadrature(nodes, vectors[0] ** 2, np.abs(betas[-1] * vectors[-1]), vectors)


BREAKDOWN = 10  # ulps of the largest |A| seen by the run, below which a residual counts as zero
ADVICE = "where it is symmetric, pass aslinearoperator(A, symmetric=True)"


@dataclass(frozen=True, eq=False)
class Lanczos:
    """A Q = Q T + r e_k', with Q'Q = I, Q'r = 0 and T tridiagonal (k steps, k products).

    `basis` Q has shape (n, k) in the operator's dtype; `alphas` (k,) is T's diagonal, betas[:-1] its
    off-diagonal and betas[-1] = |r|; `direction` r / |r| has shape (n,). `invariant` is True where r vanished: the
    basis then spans an invariant subspace and every Ritz value is an eigenvalue, both to working precision. `size` is
    a known lower bound on |A|, where there is one. Basis and direction are views of the process, which cost nothing.
    """

    basis: Tensor
    alphas: np.ndarray
    betas: np.ndarray
    direction: Tensor
    invariant: bool
    size: float = 0.0

    @property
    def num_matvecs(self) -> int:
        return len(self.alphas)

    @property
    def residual(self) -> Tensor:
        """The residual r, shape (n,)."""
        return self.direction * self.betas[-1]

    @property
    def projected(self) -> np.ndarray:
        """The matrix T = Q'AQ, shape (k, k)."""
        return np.diag(self.alphas) + np.diag(self.betas[:-1], 1) + np.diag(self.betas[:-1], -1)

    @property
    def scale(self) -> float:
        """The largest coefficient of the run, or `size` where that is larger: an estimate of |A| from below."""
        return float(max(np.abs(self.alphas).max(), self.betas.max(), self.size))

    @property
    def residual_norm(self) -> float:
        """The norm |r|, exactly 0 where the space is invariant."""
        return 0.0 if self.invariant else float(self.betas[-1])

    @property
    def quadrature(self) -> Quadrature:
        """The Ritz values, their weights in the start vector and their residuals."""
        return gauss_quadrature(self.alphas, self.betas)


class LanczosProcess:
    """A Lanczos run that can be continued; further steps do not change the earlier ones.

    Every new vector is orthogonalized twice against the whole basis, which stays in memory: at most `capacity` + 1
    vectors. The run stops by itself where the residual is rounding (breakdown): the Krylov space is then invariant.
    Raises ValueError on a zero start vector, TypeError on an operator that is not declared symmetric,
    FloatingPointError where a coefficient overflows. (Lanczos 1950; Paige 1971)

    `outside` is an orthonormal basis (n, j) whose span the run avoids: the operator maps into that span by rounding
    only, and that part is removed from every new vector. The start vector must be orthogonal to it. `size` is a lower
    bound on |A| by which rounding is measured, where more of |A| is known than such a run can see.
    """

    def __init__(
        self, operator: Operand, start: Tensor, capacity: int, outside: Tensor | None = None, size: float = 0.0
    ):
        operator = aslinearoperator(operator)
        if not operator.symmetric:
            raise TypeError(f"lanczos needs a symmetric operator, {operator.name} does not declare itself so; {ADVICE}")
        if capacity < 1:
            raise ValueError(f"num_matvecs={capacity}: at least one product is needed")
        length = float(norms(start[:, None])[0])
        if length == 0:
            raise ValueError("the start vector is zero: draw it at random")
        self.operator, self._outside, self._size = operator, outside, size
        self.capacity = min(capacity, operator.shape[0])
        # one basis vector a row, so that each is contiguous; callers see columns
        self._rows = torch.empty(self.capacity + 1, operator.shape[0], dtype=operator.dtype, device=operator.device)
        self._rows[0] = (start / length).to(operator.dtype)
        self._alphas, self._betas = np.zeros(self.capacity), np.zeros(self.capacity)
        self.steps = 0
        self.invariant = False

    @property
    def finished(self) -> bool:
        """True where no further step is possible: the space is invariant, or the memory is full."""
        return self.invariant or self.steps == self.capacity

    def advance(self, num_matvecs: int) -> None:
        """Continue to `num_matvecs` steps in all, or until the run is finished."""
        while self.steps < num_matvecs and not self.finished:
            self._step()

    def first(self, k: int) -> Lanczos:
        """Return the factorization after the first `k` steps."""
        return Lanczos(
            self._rows[:k].T,
            self._alphas[:k],
            self._betas[:k],
            self._rows[k],
            self.invariant and k == self.steps,
            self._size,
        )

    def _step(self) -> None:
        k = self.steps + 1
        product = self.operator.matmat(self._rows[k - 1 : k].T)
        residual, coefficients = project_out(product, self._rows[:k].T)
        if self._outside is not None:
            residual, _ = project_out(residual, self._outside)
            residual, _ = project_out(residual, self._rows[:k].T)
        self._alphas[k - 1] = float(coefficients[-1, 0])
        self._betas[k - 1] = beta = float(norms(residual)[0])
        scale = max(np.abs(self._alphas[:k]).max(), self._betas[:k].max(), float(norms(product)[0]), self._size)
        if not np.isfinite(scale):
            raise FloatingPointError(f"a Lanczos coefficient in {self.operator.dtype} is not finite: |Av|^2 overflows")
        floor = BREAKDOWN * torch.finfo(self.operator.dtype).eps
        self.invariant = bool(k == self.operator.shape[0] or beta <= floor * scale)
        self._rows[k] = residual[:, 0] / (beta or 1.0)
        self.steps = k


def lanczos(operator: Operand, start: Tensor, num_matvecs: int) -> Lanczos:
    """Return the factorization after at most `num_matvecs` steps from `start` (n,); raises as `LanczosProcess` does."""
    process = LanczosProcess(operator, start, num_matvecs)
    process.advance(num_matvecs)
    return process.first(process.steps)
