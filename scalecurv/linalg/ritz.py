"""A subspace with what the operator does to it: Ritz pairs, and nothing about how the subspace came about."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.lanczos import Lanczos


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
