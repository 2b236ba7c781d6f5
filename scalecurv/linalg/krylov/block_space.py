"""A subspace with a block of residuals: it grows by single products and takes in the spaces of other Lanczos runs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import block_diag
from torch import Tensor

from scalecurv.linalg.inner import gram, norms, project_out
from scalecurv.linalg.krylov.lanczos import BREAKDOWN, Lanczos
from scalecurv.linalg.operator import LinearOperator


@dataclass(frozen=True, eq=False)
class BlockSpace:
    """A W = W T + F C', with W'W = I, F'F = I, W'F = 0 and T symmetric.

    `basis` W has shape (n, w) and `residual` F (n, s); `projected` T (w, w) and `coupling` C (w, s) are in float64.
    `num_matvecs` counts the products that built it, `size` is the largest coefficient seen, a lower bound on |A|. A
    Krylov space has s = 1, and with s runs merged it holds up to s copies of each eigenvalue. s = 0 where it is
    invariant.
    """

    basis: Tensor
    projected: np.ndarray
    coupling: np.ndarray
    residual: Tensor
    num_matvecs: int
    size: float

    @classmethod
    def of(cls, run: Lanczos) -> "BlockSpace":
        """Return the space of a Lanczos run, where C = |r| e_k."""
        coupling, columns = _last_coupling(run), 0 if run.invariant else 1
        residual = (run.residual / float(run.betas[-1] or 1.0))[:, None]
        parts = (run.basis, run.projected, coupling[:, :columns], residual[:, :columns])
        return cls(*parts, run.num_matvecs, run.scale)

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The Ritz values, ascending, shape (w,), and the eigenvectors of T (w, w), one a column."""
        return np.linalg.eigh(self.projected)

    @property
    def values(self) -> np.ndarray:
        """The Ritz values theta_j, ascending, shape (w,)."""
        return self.pairs[0]

    @property
    def residuals(self) -> np.ndarray:
        """The norms |A u_j - theta_j u_j|, shape (w,)."""
        return np.linalg.norm(self.coupling.T @ self.pairs[1], axis=0)

    def vectors(self, chosen: np.ndarray) -> Tensor:
        """Return the Ritz vectors with indices `chosen`, shape (n, len(chosen))."""
        small = torch.from_numpy(np.ascontiguousarray(self.pairs[1][:, chosen]))
        return self.basis @ small.to(self.basis.device, self.basis.dtype)

    def narrowed(self, chosen: np.ndarray) -> "BlockSpace":
        """Return the span of the Ritz vectors with indices `chosen`; the relation holds with the same F."""
        coupling = self.pairs[1][:, chosen].T @ self.coupling
        T = np.diag(self.values[chosen])
        return BlockSpace(self.vectors(chosen), T, coupling, self.residual, self.num_matvecs, self.size)

    def bounds(self, rest: float, count: int) -> np.ndarray:
        """Return the eigenvalues of [[T, C, 0], [C', rest I, 0], [0, 0, rest I]] (n x n), ascending.

        Where R A R <= `rest`, R = I - WW', the largest bound the largest eigenvalues of A from above, rank by rank, and
        where R A R >= `rest`, the smallest bound the smallest from below (Weyl 1912). `count` copies of `rest` stand
        for all eigenvalues outside W and F, enough for `count` bounds at either end.
        """
        (n, w), s = self.basis.shape, self.coupling.shape[1]
        if w == n:
            return self.values
        inner = np.block([[self.projected, self.coupling], [self.coupling.T, rest * np.eye(s)]])
        return np.sort(np.r_[np.linalg.eigvalsh(inner), np.full(min(count, n - w - s), rest)])


def grown(operator: LinearOperator, space: BlockSpace, focus: np.ndarray) -> BlockSpace:
    """Return the space with one more basis vector, from one product.

    The vector is the direction in the span of F that carries most of the residuals A W x - W T x = F C'x of the columns
    x of `focus` (w, m). Raises FloatingPointError where a coefficient overflows.
    """
    turn = np.linalg.svd(space.coupling.T @ focus)[0]
    cast = torch.from_numpy(turn).to(space.basis.device, space.basis.dtype)
    rows = torch.cat([space.basis.T, (space.residual @ cast).T])  # one vector a row, so that each is contiguous
    coupling, w = space.coupling @ turn, len(space.coupling)
    product = operator.matmat(rows[w : w + 1].T)
    rest, along = project_out(product, rows.T)
    length, scale = float(norms(rest)[0]), max(space.size, float(norms(product)[0]))
    if not np.isfinite(length):
        raise FloatingPointError(f"a Lanczos coefficient in {operator.dtype} is not finite: |Av|^2 overflows")
    column = along[:, 0].cpu().numpy()
    T = np.block([[space.projected, column[:w, None]], [column[None, :w], column[w, None, None]]])
    further = np.vstack([np.c_[coupling[:, 1:], np.zeros(w)], np.r_[column[w + 1 :], length]])
    residual = torch.cat([rows[w + 1 :], rest.T / (length or 1.0)]).T
    if length <= BREAKDOWN * torch.finfo(operator.dtype).eps * scale:
        further, residual = further[:, :-1], residual[:, :-1]
    size = max(space.size, float(np.linalg.norm(column)))
    return BlockSpace(rows[: w + 1].T, T, further, residual, space.num_matvecs + 1, size)


def merged(space: BlockSpace, run: Lanczos) -> BlockSpace:
    """Return the sum of `space` and the space V of a Lanczos run of R A R, R = I - WW'; no product is taken.

    V'AW = (V'F) C' follows from AW = WT + FC'. The new residuals are F without its part in V, and that of the run.
    """
    W, V = space.basis, run.basis
    along = gram(space.residual, V).cpu().numpy()
    mixed = space.coupling @ along
    T = np.block([[space.projected, mixed], [mixed.T, run.projected]])
    basis = torch.cat([W.T, V.T]).T
    last = BlockSpace.of(run)
    residual, triangle = orthonormal(torch.cat([space.residual.T, last.residual.T]).T, V, basis)
    coupling = block_diag(space.coupling, last.coupling) @ triangle.T
    size = max(space.size, last.size)
    # residuals that no basis vector couples to more than by rounding are dropped
    turn, weights, _ = np.linalg.svd(coupling.T, full_matrices=False)
    turn = turn[:, weights > BREAKDOWN * torch.finfo(W.dtype).eps * size]
    residual = residual @ torch.from_numpy(np.ascontiguousarray(turn)).to(W.device, W.dtype)
    return BlockSpace(basis, T, coupling @ turn, residual, space.num_matvecs + run.num_matvecs, size)


def orthonormal(G: Tensor, V: Tensor, basis: Tensor) -> tuple[Tensor, np.ndarray]:
    """Return an orthonormal Q (n, r) and X (r, s) with G - V V'G = Q X, for G (n, s); Q is orthogonal to `basis`.

    Columns are left out whose part outside V and the columns before them is rounding.
    """
    kept: list[Tensor] = []
    X = np.zeros((G.shape[1], G.shape[1]))
    for j in range(G.shape[1]):
        column, _ = project_out(G[:, j : j + 1], V)
        if kept:
            column, along = project_out(column, torch.cat(kept, dim=1))
            X[: len(kept), j] = along[:, 0].cpu().numpy()
        left = float(norms(column)[0])
        if left <= BREAKDOWN * torch.finfo(G.dtype).eps:
            continue
        column, _ = project_out(column / left, torch.cat([basis, *kept], dim=1))  # rounding grew by 1 / left
        again = float(norms(column)[0])
        X[len(kept), j] = left * again
        kept.append(column / again)
    Q = torch.cat(kept, dim=1) if kept else G[:, :0]
    return Q, X[: len(kept)]


def _last_coupling(run: Lanczos) -> np.ndarray:
    coupling = np.zeros((len(run.alphas), 1))
    coupling[-1] = run.residual_norm
    return coupling
