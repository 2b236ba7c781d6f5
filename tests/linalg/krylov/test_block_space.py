"""A space that grows by products and takes in other runs keeps its relation A W = W T + F C'."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.inner import gram, project_out
from scalecurv.linalg.krylov.block_space import BlockSpace, grown, merged
from scalecurv.linalg.krylov.lanczos import LanczosProcess, lanczos
from scalecurv.linalg.krylov.ritz import Remainder
from tests.matrices import symmetric

N = 24
LEVELS = {
    "apart": np.linspace(-3, 5, N),
    "copies": np.repeat([5.0, 2, -1, -4], N // 4),
    "rank two": np.r_[4.0, -2, np.zeros(N - 2)],
    "zero": np.zeros(N),
}


def vector(seed: int) -> Tensor:
    return torch.randn(N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def other_run(A: DenseOperator, space: BlockSpace, seed: int, steps: int) -> LanczosProcess:
    start, _ = project_out(vector(seed)[:, None].to(space.basis.dtype), space.basis)
    process = LanczosProcess(Remainder(A, space.basis), start[:, 0], steps, space.basis, space.size)
    process.advance(steps)
    return process


def holds(A: Tensor, space: BlockSpace, slack: float) -> None:
    W, F = space.basis.double(), space.residual.double()
    both = torch.cat([W, F], dim=1)
    np.testing.assert_allclose(gram(both, both), np.eye(both.shape[1]), rtol=0, atol=slack)
    left, right = A @ W, W @ torch.from_numpy(space.projected) + F @ torch.from_numpy(space.coupling.T)
    np.testing.assert_allclose(left, right, rtol=0, atol=slack * max(1.0, float(A.abs().max())))
    assert np.array_equal(space.projected, space.projected.T) or np.allclose(space.projected, space.projected.T)
    assert space.size <= float(torch.linalg.matrix_norm(A, 2)) + slack


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_relation_survives_every_step(dtype: torch.dtype) -> None:
    for levels in LEVELS.values():
        A = symmetric(levels, 3)
        operator, slack = DenseOperator(A.to(dtype)), 1e-12 if dtype == torch.float64 else 1e-5
        space = BlockSpace.of(lanczos(operator, vector(0), 4))
        holds(A, space, slack)
        for round in (1, 2, 3):
            run = other_run(operator, space, round, 3)
            space = merged(space, run.first(run.steps))
            holds(A, space, slack)
            for _ in range(2):
                if space.coupling.shape[1]:
                    width, spent = space.basis.shape[1], space.num_matvecs
                    space = grown(operator, space, space.pairs[1][:, -2:])
                    assert (space.basis.shape[1], space.num_matvecs) == (width + 1, spent + 1)
                    holds(A, space, slack)
        kept = space.narrowed(np.array([0, space.basis.shape[1] - 1]))
        holds(A, kept, slack)
        assert kept.values == pytest.approx(space.values[[0, -1]], abs=slack)
        U = kept.vectors(np.arange(2)).double()
        residuals = (A @ U - U * torch.from_numpy(kept.values)).norm(dim=0)
        assert residuals == pytest.approx(kept.residuals, abs=10 * slack)


def test_it_ends_with_the_whole_space() -> None:
    for levels in LEVELS.values():
        A = symmetric(levels, 3)
        operator, space, seed = DenseOperator(A), None, 0
        space = BlockSpace.of(lanczos(operator, vector(0), 3))
        while space.basis.shape[1] < N:
            seed += 1
            run = other_run(operator, space, seed, min(3, N - space.basis.shape[1]))
            space = merged(space, run.first(run.steps))
            while space.coupling.shape[1] and space.basis.shape[1] < N:
                space = grown(operator, space, space.pairs[1])
        assert space.num_matvecs == N
        assert space.values == pytest.approx(np.sort(levels), abs=1e-12)
        assert np.array_equal(space.bounds(np.nan, 3), space.values)


def test_bounds_hold_rank_by_rank() -> None:
    """The truth about what a space leaves out gives bounds on both sides of every eigenvalue."""
    for name in ("apart", "copies"):
        A = symmetric(LEVELS[name], 3)
        space = BlockSpace.of(lanczos(DenseOperator(A), vector(0), 6))
        run = other_run(DenseOperator(A), space, 1, 3)
        space = merged(space, run.first(3))
        R = torch.eye(N, dtype=torch.float64) - space.basis @ space.basis.T
        rest = torch.linalg.eigvalsh(R @ A @ R)
        truth = np.sort(LEVELS[name])
        high, low = space.bounds(max(float(rest[-1]), -9), 5)[::-1][:5], space.bounds(min(float(rest[0]), 9), 5)[:5]
        assert (high >= truth[::-1][:5] - 1e-12).all()
        assert (low <= truth[:5] + 1e-12).all()
        assert (high - truth[::-1][:5]).max() < 3
        wrong = space.bounds(float(rest[-1]) - 1, 5)[::-1][:5]
        assert (wrong < truth[::-1][:5] - 1e-3).any()
