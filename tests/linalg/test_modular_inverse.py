"""Inverses modulo a prime, and the elimination of symmetric residues that rests on them."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.modular_inverse import SMALL, modular_inverse
from scalecurv.linalg.modular_rank import BLOCK, modular_rank, symmetric_modular_rank
from scalecurv.linalg.residues import matmul_mod
from tests.linalg.test_modular_rank import PRIME, gappy, planted, residues_of, slow_rank


def test_a_matrix_times_its_inverse_is_one() -> None:
    for n in (1, 2, SMALL, SMALL + 1, 150, 512):
        A = planted(n, n, n, seed=n)[:, torch.randperm(n)]
        inverse = modular_inverse(A, PRIME)
        if inverse is None:  # a random minor is 0 with a chance of one in a million
            A = planted(n, n, n, seed=n + 1) + torch.eye(n, dtype=torch.float64)
            inverse = modular_inverse(A, PRIME)
        assert inverse is not None
        assert torch.equal(matmul_mod(A, inverse, PRIME), torch.eye(n, dtype=torch.float64))
        assert inverse.abs().max() <= PRIME // 2


def test_there_is_no_inverse_where_a_leading_minor_is_zero() -> None:
    for n, prime in ((2, 3), (40, PRIME), (100, PRIME)):
        swap = torch.eye(n, dtype=torch.float64).flip(0)
        assert modular_inverse(swap, prime) is None
        swap[0, 0] = prime
        assert modular_inverse(swap, prime) is None


def test_symmetric_residues_have_the_rank_of_the_slow_elimination(monkeypatch: pytest.MonkeyPatch) -> None:
    for block, tile in ((BLOCK, 1024), (3, 4), (4, 3), (2, 100)):
        monkeypatch.setattr("scalecurv.linalg.modular_rank.BLOCK", block)
        monkeypatch.setattr("scalecurv.linalg.modular_rank.TILE", tile)
        for prime in (3, 101, PRIME):
            for n in (0, 1, 2, 5, 12, 25):
                for seed in range(6):
                    A = gappy(n, max(n, 1), seed)
                    A = A @ A.T if seed % 2 else A[:, :n] + A[:, :n].T
                    assert symmetric_modular_rank(residues_of(A, prime), prime) == slow_rank(A, prime)


def test_gram_matrices_of_planted_rank() -> None:
    for rows, columns, rank in ((700, 900, 650), (700, 300, 290), (600, 700, 600), (BLOCK, BLOCK, BLOCK)):
        rng = np.random.default_rng(rank)
        J = planted(rows, columns, rank, seed=rank)[:, rng.permutation(columns)][rng.permutation(rows)]
        G = matmul_mod(J, J.T.contiguous(), PRIME)
        assert symmetric_modular_rank(G, PRIME) == modular_rank(J, PRIME)


def test_gram_matrices_whose_rank_runs_out_between_blocks() -> None:
    """Their leading blocks are invertible, so that the symmetric elimination goes on until nothing is left."""
    for n, rank in ((3 * BLOCK + 40, 2 * BLOCK), (3 * BLOCK, 2 * BLOCK + 9), (4 * BLOCK, BLOCK - 1)):
        rng = np.random.default_rng(n)
        J = torch.from_numpy(rng.integers(-PRIME // 2, PRIME // 2, (n, rank)).astype(float))
        assert symmetric_modular_rank(matmul_mod(J, J.T.contiguous(), PRIME), PRIME) == rank
