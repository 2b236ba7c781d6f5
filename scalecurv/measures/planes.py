"""Sectional curvature of planes at random, at one point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.curvature.shape_operator import ShapeOperator
from scalecurv.geometry.sectional import sectional_curvature_of
from scalecurv.linalg.inner import dots
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes

STREAM = "random planes"


@dataclass(frozen=True, eq=False)
class PlaneTerms:
    """Sectional curvatures of independent planes, uniform among the tangent planes; their mean is K / (P (P - 1)).

    With Gaussian u and v the plane of G^(-1/2) u and G^(-1/2) v is uniform in the metric G of the graph, and its
    curvature is that of u and v under A = sqrt(beta) G^(-1/2) H G^(-1/2): det(U'AU) / det(U'U). Two products a plane.
    """

    gradient: Tensor

    def __call__(self, operator: LinearOperator, seed: int, ids: Sequence[int]) -> np.ndarray:
        """One row for each plane, shape (len(ids), 1); `operator` is H."""
        A = ShapeOperator(operator, self.gradient)
        both = [2 * i + side for side in (0, 1) for i in ids]
        Z = probes(A.shape[0], seed, STREAM, both, "gaussian", A.dtype, A.device)
        AZ, k = A.matmat(Z), len(ids)
        bent, lengths = _pairs(Z[:, :k], Z[:, k:], AZ[:, :k], AZ[:, k:]), _pairs(Z[:, :k], Z[:, k:])
        return sectional_curvature_of(bent, lengths, 1.0)[:, None]


def _pairs(U: Tensor, V: Tensor, AU: Tensor | None = None, AV: Tensor | None = None) -> np.ndarray:
    """The matrices [[u'Au, u'Av], [u'Av, v'Av]] of each column, shape (k, 2, 2)."""
    AU, AV = U if AU is None else AU, V if AV is None else AV
    mixed = dots(U, AV)
    rows = torch.stack([dots(U, AU), mixed, mixed, dots(V, AV)], dim=1)
    return rows.view(-1, 2, 2).cpu().numpy()
