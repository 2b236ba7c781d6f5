"""Matrices with prescribed spectra, and the spectra that the tests prescribe."""

from functools import cache

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor


@cache
def orthogonal(n: int, seed: int) -> Tensor:
    """Return a random n x n orthogonal matrix."""
    return torch.linalg.qr(torch.from_numpy(np.random.default_rng(seed).standard_normal((n, n))))[0]


def symmetric(eigenvalues: np.ndarray, seed: int = 0) -> Tensor:
    """Return a symmetric matrix with these eigenvalues in random directions, equal to its transpose bit by bit."""
    Q = orthogonal(len(eigenvalues), seed)
    A = Q * torch.from_numpy(np.asarray(eigenvalues, dtype=np.float64)) @ Q.T
    return (A + A.T) / 2


def rectangular(m: int, n: int, singular_values: np.ndarray, seed: int = 0) -> Tensor:
    """Return an m x n matrix with these leading singular values, the others zero."""
    k = len(singular_values)
    return orthogonal(m, seed)[:, :k] * torch.from_numpy(singular_values) @ orthogonal(n, seed + 1)[:, :k].T


def _spectra(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "outliers": np.concatenate([10.0 * np.arange(1, 6), np.linspace(0, 0.5, n - 5)]),
        "flat": np.concatenate([np.ones(n // 2), np.zeros(n - n // 2)]),
        "power law": 1.0 / np.arange(1, n + 1),
        "indefinite": rng.standard_normal(n),
        "negative": -(np.linspace(0.1, 1, n) ** 2),
    }


SPECTRA = _spectra(80)


def gauss_rule(values: np.ndarray, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the Lanczos run on diag(values), orthogonalised in full."""
    basis, alphas, betas = [start / np.linalg.norm(start)], [], []
    for _ in range(steps):
        image = values * basis[-1]
        alphas.append(basis[-1] @ image)
        for vector in (*basis, *basis):
            image = image - vector * (vector @ image)
        betas.append(np.linalg.norm(image))
        basis.append(image / (betas[-1] or 1.0))
    nodes, vectors = eigh_tridiagonal(alphas, betas[:-1])
    return nodes, vectors[0] ** 2
