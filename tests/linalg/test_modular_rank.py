"""Ranks modulo a prime against slow elimination over the same field, over the rationals, and by construction."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.modular_rank import NARROW, PANEL, TILE, modular_rank, modular_ranks
from scalecurv.linalg.residues import matmul_mod, reduced

PRIME = 8388593  # the largest below 2^23
SHAPES = [(0, 4), (4, 0), (1, 1), (1, 9), (9, 1), (5, 5), (4, 11), (11, 4), (12, 12)]


def residues_of(A: np.ndarray, prime: int = PRIME) -> Tensor:
    return reduced(torch.tensor(A.tolist(), dtype=torch.float64).reshape(A.shape), prime)


def slow_rank(A: np.ndarray, prime: int | None) -> int:
    """Return the rank by elimination row by row, over the rationals where there is no prime."""
    pivots: list[tuple[int, list]] = []
    for numbers in A.tolist():
        row = [int(x) % prime if prime else Fraction(x) for x in numbers]
        for j, pivot in pivots:
            if row[j]:
                factor = row[j]
                row = [(x - factor * y) % prime if prime else x - factor * y for x, y in zip(row, pivot, strict=True)]
        j = next((j for j, x in enumerate(row) if x), None)
        if j is not None:
            inverse = pow(row[j], -1, prime) if prime else 1 / row[j]
            pivots.append((j, [x * inverse % prime if prime else x * inverse for x in row]))
    return len(pivots)


def gappy(m: int, n: int, seed: int, most: int = 3) -> np.ndarray:
    """Return small integers, many of them zero, with zero and repeated columns, so that pivots must be searched for."""
    rng = np.random.default_rng(seed)
    A = rng.integers(-most, most + 1, (m, n)) * (rng.random((m, n)) < rng.choice([0.15, 0.4, 1.0]))
    if n > 2:
        A[:, rng.integers(0, n, n // 4)] = 0
        A[:, rng.integers(0, n, n // 4)] = A[:, rng.integers(0, n, n // 4)]
    if m > 3:
        A[rng.integers(0, m)] = A[0] - 2 * A[1]
    return A


def planted(m: int, n: int, rank: int, seed: int, prime: int = PRIME) -> Tensor:
    """Return a product of random residues with dependent first columns: panels have fewer pivots than columns."""
    rng = np.random.default_rng(seed)
    B, C = (
        torch.from_numpy(rng.integers(-(prime // 2), prime // 2 + 1, s).astype(float)) for s in [(m, rank), (rank, n)]
    )
    C[1:, : n // 8] = 0
    return matmul_mod(B, C, prime)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels, halves and tiles that matrices of a dozen columns cross."""
    for name, size in (("PANEL", 10), ("BLOCK", 4), ("NARROW", 2), ("TILE", 3)):
        monkeypatch.setattr(f"scalecurv.linalg.modular_rank.{name}", size)


def test_small_whole_numbers_have_their_rational_rank() -> None:
    """Their minors are hardly ever as large as the prime, by Hadamard's bound, so that it divides none but 0."""
    for shape in SHAPES:
        for seed in range(6):
            A = gappy(*shape, seed, most=1)
            assert modular_rank(residues_of(A), PRIME) == slow_rank(A, None) == slow_rank(A, PRIME)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_change_nothing() -> None:
    """The small primes divide many minors, where the rank is below the rational one."""
    for prime in [3, 5, 101, PRIME]:
        for shape in [*SHAPES, (25, 40), (40, 25), (33, 33)]:
            for seed in range(6):
                A = gappy(*shape, seed)
                assert modular_rank(residues_of(A, prime), prime) == slow_rank(A, prime)


def test_halves_against_the_slow_elimination() -> None:
    for prime in [3, PRIME]:
        for shape in [(40, 2 * NARROW + 1), (50, 100), (100, 50)]:
            for seed in range(3):
                A = gappy(*shape, seed)
                assert modular_rank(residues_of(A, prime), prime) == slow_rank(A, prime)


def test_the_rank_is_never_above_the_rational_one_and_sometimes_below() -> None:
    below = 0
    for prime, seed in itertools.product([3, 5, 7], range(15)):
        A = gappy(8, 9, seed)
        rational = slow_rank(A, None)
        below += (found := modular_rank(residues_of(A, prime), prime)) < rational
        assert found <= rational
    assert below >= 5


def test_planted_ranks() -> None:
    for m, n, rank in [
        *[(540, 1100, 530), (1100, 540, 300), (520, 2 * PANEL + 1, 513), (520, 520, 519), (530, TILE + PANEL + 1, 20)],
        *[(5, 1700, 5), (1700, 5, 4), (PANEL, PANEL, PANEL), (300, 40, 0)],
    ]:
        A = planted(m, n, rank, seed=m + n)
        wanted = min(rank, 1 + n - n // 8)  # the first eighth of the columns has rank one
        assert modular_rank(A.clone(), PRIME) == wanted
        rng = np.random.default_rng(0)
        assert modular_rank(A[rng.permutation(m)][:, rng.permutation(n)], PRIME) == wanted


def test_a_gram_matrix_keeps_the_rank_of_its_factor() -> None:
    J = planted(620, 300, 250, seed=4)
    G = matmul_mod(J, J.T.contiguous(), PRIME)
    assert torch.equal(G, G.T)
    assert modular_rank(G, PRIME) == 250


@pytest.mark.parametrize("columns", [1, TILE + 1])
def test_512_products_of_the_largest_residues_are_exact(columns: int) -> None:
    """[I, C; B, BC] with B and C next to half the prime: the update BC - BC is zero, if no bit of it is rounded."""
    rng = np.random.default_rng(5)
    B, C = (torch.from_numpy(PRIME // 2 - rng.integers(0, 8, s).astype(float)) for s in [(40, PANEL), (PANEL, columns)])
    for left in (B, -B):
        top = torch.cat([torch.eye(PANEL, dtype=torch.float64), C], dim=1)
        A = torch.cat([top, torch.cat([left, matmul_mod(left, C, PRIME)], dim=1)])
        assert modular_rank(A.clone(), PRIME) == PANEL
        A[-1, -1] += 1
        assert modular_rank(A, PRIME) == PANEL + 1


@pytest.mark.parametrize("m", [70, 600])
def test_entries_at_half_the_prime(m: int) -> None:
    """p // 2 is a unit: signs times it have the rank of the signs, which a repeated row lowers by one."""
    signs = np.random.default_rng(6).choice([-1.0, 1.0], (m, m + 30))
    signs[-1] = -signs[0]
    rank = np.linalg.matrix_rank(signs)
    assert rank == m - 1
    assert modular_rank(residues_of(signs * (PRIME // 2)), PRIME) == rank


@pytest.mark.parametrize("n", [2, 5, 40])
def test_a_determinant_that_the_prime_divides_costs_one(n: int) -> None:
    rng = np.random.default_rng(n)
    lower, upper = (np.tril(rng.integers(-2, 3, (n, n)), -1).astype(object) + np.eye(n, dtype=int) for _ in range(2))
    A = lower @ np.diag([1] * (n - 1) + [PRIME]).astype(object) @ upper.T
    for prime, rank in ((PRIME, n - 1), (4194319, n), (6291469, n)):
        assert modular_rank(residues_of(A % prime, prime), prime) == rank


@pytest.mark.parametrize("zeros", [1, NARROW, PANEL, PANEL + 3])
def test_zero_columns_come_first(zeros: int) -> None:
    A = torch.zeros(60, zeros + 80, dtype=torch.float64)
    A[:, zeros:] = planted(60, 80, 33, seed=7)
    assert modular_rank(A, PRIME) == 33


def test_a_stack_has_the_rank_of_each_of_its_matrices() -> None:
    for prime in [3, 5, PRIME]:
        for shape in [(0, 3), (3, 0), (1, 1), (1, 7), (7, 1), (6, 6), (4, 9), (9, 4), (20, 23)]:
            matrices = [gappy(*shape, seed) for seed in range(25)]
            matrices[3] = matrices[11] = np.zeros(shape)
            matrices[5] = np.triu(np.ones(shape))
            matrices[6] = matrices[5][::-1]
            found = modular_ranks(residues_of(np.stack(matrices), prime), prime)
            assert found.dtype == torch.int64
            assert found.tolist() == [slow_rank(A, prime) for A in matrices]
            assert found.tolist() == [modular_rank(residues_of(A, prime), prime) for A in matrices]


def test_a_stack_of_nothing_and_of_the_largest_residues() -> None:
    assert modular_ranks(torch.zeros(0, 3, 4, dtype=torch.float64), PRIME).tolist() == []
    stack = torch.stack([planted(30, 50, rank, seed=rank) for rank in (0, 1, 13, 30)])
    assert modular_ranks(stack, PRIME).tolist() == [0, 1, 13, 30]
    signs = np.random.default_rng(8).choice([-1.0, 1.0], (4, 20, 24))
    signs[1, 7] = -signs[1, 2]
    assert modular_ranks(residues_of(signs * (PRIME // 2)), PRIME).tolist() == [20, 19, 20, 20]
