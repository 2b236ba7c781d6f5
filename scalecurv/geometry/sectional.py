"""Sectional curvature of the graph of the loss, from what the Hessian makes of two directions."""

import numpy as np


def sectional_curvature_of(
    bent: np.ndarray, lengths: np.ndarray, beta: float, steep: np.ndarray | None = None
) -> np.ndarray:
    """beta det(U'HU) / det(U'GU) of the plane of U = (u, v), G = I + g g' the metric of the graph.

    `bent` U'HU and `lengths` U'U, both (..., 2, 2) and symmetric, `steep` U'g (..., 2), None for 0; the answer (...),
    in the loss squared over parameters to the fourth, is that of the plane, whatever u and v span it. The denominator,
    det U'U + (g'u)^2 |v|^2 - 2 g'u g'v u'v + (g'v)^2 |u|^2, is taken so that no slope cancels in it: 1 + (g'u)^2 +
    (g'v)^2 for orthonormal u and v. (Gauss' equation; do Carmo 1992, Riemannian Geometry, ch. 6)
    """
    area = _determinants(lengths)
    if steep is not None:
        a, b = steep[..., 0], steep[..., 1]
        area = area + a * a * lengths[..., 1, 1] - 2 * a * b * lengths[..., 0, 1] + b * b * lengths[..., 0, 0]
    return beta * _determinants(bent) / area


def _determinants(pairs: np.ndarray) -> np.ndarray:
    return pairs[..., 0, 0] * pairs[..., 1, 1] - pairs[..., 0, 1] * pairs[..., 1, 0]
