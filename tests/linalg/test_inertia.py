"""Inertia and counts of eigenvalues above thresholds against decompositions, with eigenvalues planted at thresholds."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.inertia import Thresholds, inertia
from tests.matrices import orthogonal

SEEDS = range(40)


def with_eigenvalues(values: np.ndarray, seed: int) -> Tensor:
    Q = orthogonal(len(values), seed)
    A = (Q * torch.from_numpy(values)) @ Q.T
    return (A + A.T) / 2


def test_the_inertia_is_that_of_the_eigenvalues_within_the_error() -> None:
    indefinite = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        values = rng.choice([-1.0, 1.0], n := int(rng.integers(1, 60))) * 10.0 ** rng.uniform(-18, 3, n)
        A = with_eigenvalues(values, seed)
        found, true = inertia(A), np.linalg.eigvalsh(A.numpy())
        assert (true > 1.1 * found.error).sum() <= found.positive <= (true > -1.1 * found.error).sum()
        assert found.distance(A, 0) <= np.abs(true).min() + 1e-13 * np.abs(values).max()
        indefinite += bool((found.pivots < 0).any())
    assert indefinite > 10  # pivots of two rows were met


def test_the_error_bounds_the_residual_of_the_factorization() -> None:
    """P A P' - L D L' is taken in extended precision, whose own rounding is far smaller."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 30))
        A = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-4, 4, (n, 1))
        A = A + A.T
        found = inertia(torch.from_numpy(A))
        L, D, order = unpacked(found.factors.numpy(), found.pivots.numpy())
        residual = (L @ D @ L.T).astype(float) - A[np.ix_(order, order)]
        assert np.linalg.norm(residual, 2) <= found.error


def unpacked(packed: np.ndarray, pivots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return L, D and the order of rows that LAPACK's lower factorization stands for, in extended precision."""
    n, k = len(packed), 0
    L, D, order = np.eye(n, dtype=np.longdouble), np.zeros((n, n), dtype=np.longdouble), np.arange(n)
    while k < n:
        width = 1 if pivots[k] > 0 else 2
        end = k + width
        D[k:end, k:end] = np.tril(packed[k:end, k:end]) + np.tril(packed[k:end, k:end], -1).T
        row, with_row = end - 1, abs(int(pivots[end - 1])) - 1
        order[[row, with_row]] = order[[with_row, row]]
        L[[row, with_row], :k] = L[[with_row, row], :k]
        L[end:, k:end] = packed[end:, k:end]
        k = end
    return L, D, order


def test_by_hand() -> None:
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert inertia(swap).positive == 1  # one pivot of two rows
    assert inertia(torch.zeros(3, 3, dtype=torch.float64)).positive == 0
    assert inertia(torch.eye(3, dtype=torch.float64)).positive == 3
    assert inertia(-torch.eye(1, dtype=torch.float64)).positive == 0
    with pytest.raises(FloatingPointError, match="not finite"):
        inertia(torch.full((2, 2), torch.nan, dtype=torch.float64))


def test_counts_hold_the_truth_beside_planted_thresholds() -> None:
    sharp, wide = 0, 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, threshold = int(rng.integers(3, 50)), 10.0 ** rng.uniform(-9, -1)
        values = 10.0 ** rng.uniform(-11, 0, n)
        values[0], values[1:3] = 1.0, threshold * (1 + 10.0 ** rng.uniform(-13, -2, 2) * [1, -1])
        A = with_eigenvalues(values, seed)
        before, error = A.clone(), 1e-14
        low, high = threshold * (1 - 1e-8), threshold * (1 + 1e-8)
        least, most, sure = Thresholds(A, seed).count(low, high, 0, n)
        assert torch.equal(A, before)
        assert least <= (values > high + error).sum()
        assert most >= (values > low - error).sum()
        assert 0 <= least <= most <= n
        assert sure >= 1 - 1e-10
        sharp += least == most
        wide += least < most
    assert sharp > 5
    assert wide > 5


def test_below_rounding_the_number_is_capped_by_what_is_known() -> None:
    values = np.concatenate([np.ones(4), np.zeros(6)])
    A = with_eigenvalues(values, 1)
    thresholds = Thresholds(A, 0)
    assert thresholds.count(-1e-20, 1e-20, 0, 10)[:2] == (4, 10)
    assert thresholds.count(-1e-20, 1e-20, 0, 6)[:2] == (4, 6)
    assert thresholds.count(-1e-20, 1e-20, 0, 4)[:2] == (4, 4)
    assert thresholds.count(-1e-20, 1e-20, 6, 6)[:2] == (6, 6)


def test_cholesky_proves_what_is_true_and_nearly_all_of_it() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        values = 10.0 ** rng.uniform(-9, 0, n := int(rng.integers(1, 50)))
        A, least = with_eigenvalues(values, seed), values.min()
        before = A.clone()
        assert Thresholds(A, seed).all_above(0.9 * least - 1e-12 * n)
        assert not Thresholds(A, seed).all_above(least * (1 + 1e-9) + 1e-14)
        assert torch.equal(A, before)
