"""The scalar curvature K by another formula: from the Hessian on the tangent space of the level set of the loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from scalecurv.geometry.scalar import scalar_curvature_estimate
from scalecurv.linalg.inner import dots, gram
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.measures.gradient import Slope
from scalecurv.statistics.estimate import Estimate

STREAM = "convex form"


@dataclass(frozen=True, eq=False)
class TangentTerms:
    """Hutchinson's terms of tr Pi H Pi and tr (Pi H Pi)^2, Pi = I - uu', outside a Ritz space of the shape operator A.

    Let AV = VT + r c' and let N be orthonormal with N'(V'u) = 0. Then the vectors VN are tangent to the level set, and
    A VN = sqrt(beta) G^(-1/2) H VN, so that N'V'HVN and |Pi H VN|^2 follow from T, c and Hu without further products.
    """

    space: RitzSpace
    slope: Slope

    def __call__(self, operator: LinearOperator, seed: int, ids: Sequence[int]) -> np.ndarray:
        """Return one row (z'RHRz, |RHRz|^2) for each probe id, shape (len(ids), 2), from one product each.

        R projects onto the complement of u and VN.
        """
        Z = self.off(probes(operator.shape[0], seed, STREAM, ids, "gaussian", operator.dtype, operator.device))
        rest = self.off(operator.matmat(Z))
        return torch.stack([dots(Z, rest), dots(rest, rest)], dim=1).cpu().numpy()

    def off(self, Z: Tensor) -> Tensor:
        """Return R Z = Z - u u'Z - V N N'V'Z, projected twice against rounding, for Z of shape (P, j)."""
        V, N = self.space.basis, torch.from_numpy(self._inside @ self._inside.T).to(Z.device)
        u = self.slope.direction.to(Z.dtype)
        for _ in range(2):
            Z = Z - V @ (N @ gram(V, Z)).to(Z.dtype) - u @ gram(u, Z).to(Z.dtype)
        return Z

    @property
    def known(self) -> np.ndarray:
        """Return the known parts of tr Pi H Pi and tr (Pi H Pi)^2, which the terms leave out, shape (2,)."""
        N, T, c, beta = self._inside, self.space.projected, self.space.coupling, self.slope.beta
        B = N.T @ T @ N / np.sqrt(beta)
        along = gram(self.space.basis, self.slope.bent).cpu().numpy()[:, 0] @ N  # u'HVN
        moved = (((T @ N) ** 2).sum() + ((c @ N) ** 2).sum() - beta**2 * (along**2).sum()) / beta  # |Pi H VN|^2
        return np.array([np.trace(B), 2 * max(moved, (B**2).sum()) - (B**2).sum()])

    @cached_property
    def _inside(self) -> np.ndarray:
        """Return N, an orthonormal basis of the complement of V'u, shape (k, k - 1); the identity at g = 0."""
        along = gram(self.space.basis, self.slope.direction).cpu().numpy()
        return scipy.linalg.null_space(along.T) if self.slope.beta < 1 else np.eye(len(along))


def convex_form(rows: np.ndarray, slope: Slope, confidence: float = 0.95) -> Estimate:
    """Return K = 2 beta (beta e2(H) + (1 - beta) e2(Pi H Pi)), where e2(A) = ((tr A)^2 - tr A^2) / 2.

    `rows` (m, 2), m >= 3, are terms of tr Pi H Pi and tr (Pi H Pi)^2. As e2(H) = e2(Pi H Pi) + u'Hu tr(Pi H Pi) -
    |Pi H u|^2, only Pi H Pi is sampled: K = beta (2 e2(Pi H Pi) + 2 beta (u'Hu tr(Pi H Pi) - |Pi H u|^2)).
    """
    beta = slope.beta
    # the formula of K with Pi H Pi for H, -u'Hu for g'Hg and -|Pi H u|^2 for g'H^2 g
    found = scalar_curvature_estimate(rows, beta, -slope.uhu, -slope.across, confidence)
    return replace(found, method="tangent hessian, deflated")
