"""Sectional curvature of the graph of the loss, from what the Hessian makes of two directions."""

import numpy as np


def sectional_curvature_of(bent: np.ndarray, lengths: np.ndarray, beta: float) -> np.ndarray:
    """beta det(U'HU) / det(U'GU) of the plane of U = (u, v), G = I + g g' the metric of the graph.

    `bent` U'HU and `lengths` U'GU, both (..., 2, 2) and symmetric; the answer (...), in the loss squared over
    parameters to the fourth, is that of the plane, whatever u and v span it. For orthonormal u and v the denominator is
    1 + (g'u)^2 + (g'v)^2. (Gauss' equation; do Carmo 1992, Riemannian Geometry, ch. 6)
    """
    return beta * _determinants(bent) / _determinants(lengths)


def _determinants(pairs: np.ndarray) -> np.ndarray:
    return pairs[..., 0, 0] * pairs[..., 1, 1] - pairs[..., 0, 1] * pairs[..., 1, 0]
