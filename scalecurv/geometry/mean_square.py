"""The step size at which SGD is stable in mean square, from the curvature of single samples."""

import numpy as np
from scipy.linalg import eigh

POSITIVE = 1e-10  # of the largest eigenvalue of S: directions of less curvature are left out


def without_replacement(batch_size: int, num_data: int) -> float:
    """Return q = (N - B) / (B (N - 1)), the share of the single samples in the noise of batches; 0 for B = N.

    For a batch b of B of the N samples, E[H_b V H_b] = (1 - q) H V H + q E_i[H_i V H_i].

    Example:
        >>> without_replacement(1, 10), without_replacement(10, 10), round(without_replacement(4, 10), 3)
        (1.0, 0.0, 0.167)
    """
    return (num_data - batch_size) / (batch_size * (num_data - 1)) if batch_size < num_data else 0.0


def threshold_in(mean: np.ndarray, pairs: np.ndarray, q: float) -> float:
    """Return the largest of [(1 - q) <X, S X S> + q E<X, S_i X S_i>] / <X, S X> over symmetric X (k, k).

    `mean` is S = E S_i (k, k), positive on some direction, and `pairs` (k k, k k) is E[S_i (x) S_i], the mean Kronecker
    product. With S_i = U'H_i U for orthonormal U it bounds 2 / eta* from below, where eta* is the largest step size at
    which SGD on a quadratic loss is stable in mean square; with U = I it is equal to it. (Ma and Ying 2021, arXiv
    2105.13462; Wu, Wang and Su 2022, arXiv 2207.02628)

    Example:
        >>> one, two = np.diag([2.0, 0.0]), np.diag([0.0, 4.0])  # each sample bends one direction
        >>> mean, pairs = (one + two) / 2, (np.kron(one, one) + np.kron(two, two)) / 2
        >>> round(threshold_in(mean, pairs, 0.0), 9), round(threshold_in(mean, pairs, 1.0), 9)
        (2.0, 4.0)
    """
    values, vectors = np.linalg.eigh(mean)
    R = vectors[:, values > POSITIVE * np.abs(values).max()]
    twice = np.kron(R, R)
    S, both = R.T @ mean @ R, twice.T @ pairs @ twice
    k, eye = len(S), np.eye(len(S))
    left, right = np.triu_indices(k)
    basis = np.zeros((k * k, len(left)))
    basis[left * k + right, np.arange(len(left))] = basis[right * k + left, np.arange(len(left))] = 1.0
    top = basis.T @ ((1 - q) * np.kron(S, S) + q * both) @ basis
    bottom = basis.T @ ((np.kron(S, eye) + np.kron(eye, S)) / 2) @ basis
    return float(eigh((top + top.T) / 2, bottom, eigvals_only=True)[-1])
