"""Gauss quadrature of a spectral measure, from the tridiagonal matrix that Lanczos leaves behind."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal


@dataclass(frozen=True)
class Quadrature:
    """Nodes and weights with sum_j weights[j] f(nodes[j]) ~ q'f(A)q for the unit start vector q.

    Exact for polynomials f of degree 2k - 1 (Golub and Welsch 1969). The nodes are the Ritz values, ascending,
    shape (k,); `residuals[j]` = |A u_j - nodes[j] u_j| is the distance within which an eigenvalue lies;
    `small_vectors` (k, k) are the eigenvectors of the tridiagonal matrix, one a column.
    """

    nodes: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    small_vectors: np.ndarray

    def integrate(self, f: "np.ufunc") -> float:
        """sum_j weights[j] f(nodes[j])."""
        return float(self.weights @ f(self.nodes))


def gauss_quadrature(alphas: np.ndarray, betas: np.ndarray) -> Quadrature:
    """The k-node rule of the tridiagonal matrix with diagonal `alphas` (k,) and off-diagonal betas[:-1].

    `betas` has shape (k,): its last entry is the norm of the residual left after the last step.
    """
    nodes, vectors = eigh_tridiagonal(alphas, betas[:-1])
    return Quadrature(nodes, vectors[0] ** 2, np.abs(betas[-1] * vectors[-1]), vectors)
