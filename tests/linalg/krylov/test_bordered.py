"""Bounds from a Ritz space and a bound on the rest hold for every matrix that fits, and some matrix attains them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.ritz import RitzSpace, largest_bounds, smallest_bounds
from tests.matrices import symmetric

N = 12
LEVELS = {
    "spread": np.linspace(-1, 1, N) ** 3,
    "twins": np.concatenate([[5.0, 5.0, -4.0, -4.0], np.linspace(-1, 1, N - 4)]),
    "positive": np.geomspace(0.01, 1, N),
    "one level": np.full(N, -2.0),
    "rank one": np.eye(N)[0],
}


def space_of(A: Tensor, k: int, seed: int = 0, keep: int | None = None) -> RitzSpace:
    """Return the Krylov space of k steps, narrowed to its `keep` outermost Ritz vectors unless `keep` is None."""
    start = torch.from_numpy(np.random.default_rng(seed).standard_normal(len(A)))
    space = RitzSpace.of(lanczos(DenseOperator(A), start, k))
    return space if keep is None else space.narrowed(space.outermost(keep))


def rests(A: Tensor, space: RitzSpace) -> np.ndarray:
    """Return the eigenvalues of R A R in the complement of the space, ascending."""
    n, k = space.basis.shape
    across = torch.linalg.qr(torch.cat([space.basis, torch.eye(n, dtype=torch.float64)], 1))[0][:, k:n]
    return np.linalg.eigvalsh((across.T @ A @ across).numpy())


def test_every_bound_holds_at_the_true_rest() -> None:
    """The j-th largest eigenvalue is below the j-th upper bound and the j-th smallest above its lower bound."""
    for name in LEVELS:
        for k, keep in [(1, None), (3, None), (6, 4), (9, 3), (8, 1), (N - 1, None), (N, None)]:
            for seed in range(6):
                A = symmetric(LEVELS[name], seed)
                space, truth = space_of(A, k, seed, keep), np.sort(LEVELS[name])
                if space.basis.shape[1] == N:
                    continue
                rest = rests(A, space)
                for count in (1, 2, 3):
                    high = largest_bounds(space, float(rest[-1]), N, count)
                    low = smallest_bounds(space, float(rest[0]), N, count)
                    assert len(high) == len(low) == count
                    assert (high >= truth[::-1][:count] - 1e-12 * abs(truth).max()).all()
                    assert (low <= truth[:count] + 1e-12 * abs(truth).max()).all()
                    assert (np.diff(high) <= 0).all()
                    assert (np.diff(low) >= 0).all()


@pytest.mark.parametrize("k", [2, 5, 8])
def test_some_matrix_reaches_them(k: int) -> None:
    """The matrix [[T, c, 0], [c', rest, 0], [0, 0, rest I]] fits, so that a smaller bound would be wrong."""
    space = space_of(symmetric(LEVELS["spread"]), k)
    rest = 0.9
    worst = np.diag(np.full(N, rest))
    worst[:k, :k], worst[:k, k], worst[k, :k] = space.projected, space.coupling, space.coupling
    truth = np.linalg.eigvalsh(worst)
    assert largest_bounds(space, rest, N, 3) == pytest.approx(truth[::-1][:3], rel=1e-12)
    worst[range(k, N), range(k, N)] = -rest
    assert smallest_bounds(space, -rest, N, 3) == pytest.approx(np.linalg.eigvalsh(worst)[:3], rel=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_a_rest_that_is_too_small_is_found_out(count: int) -> None:
    """A space far from the top eigenvectors leaves only the rest for the bound."""
    for seed in range(10):
        A = symmetric(LEVELS["twins"], seed)
        space = space_of(A, 8, seed, keep=1)  # the lower of the outermost two, at most
        rest = float(rests(A, space)[-1])
        assert largest_bounds(space, rest, N, count)[-1] >= 5 - 1e-12
        low = space_of(-A, 8, seed, keep=1)
        assert smallest_bounds(low, -float(rests(-A, low)[-1]) - 20, N, count)[-1] <= -5
    hidden = RitzSpace(
        torch.eye(N, dtype=torch.float64)[:, 4:6], np.diag([-1.0, -5 / 7]), np.zeros(2), torch.zeros(N), 2
    )
    assert largest_bounds(hidden, 4.99, N, count).max() < 5 <= largest_bounds(hidden, 5.0, N, count).min()
    assert smallest_bounds(hidden, -3.99, N, count).min() > -4 >= smallest_bounds(hidden, -4.0, N, count).max()


@pytest.mark.parametrize("keep", [None, 4])
def test_turned_over(keep: int | None) -> None:
    """The smallest of A are the largest of -A."""
    A = symmetric(LEVELS["twins"], 3)
    space, mirror = space_of(A, 6, keep=keep), space_of(-A, 6, keep=keep)
    for rest in (-1.0, 0.3, 7.0):
        assert smallest_bounds(space, rest, N, 2) == pytest.approx(-largest_bounds(mirror, -rest, N, 2), rel=1e-12)


def test_the_whole_space_leaves_nothing_open() -> None:
    """With k = n the bounds are the Ritz values, for any bound on the rest."""
    A = symmetric(LEVELS["spread"])
    space = space_of(A, N)
    assert largest_bounds(space, float("nan"), N, 2) == pytest.approx(np.sort(LEVELS["spread"])[::-1][:2], rel=1e-12)
    assert smallest_bounds(space, float("nan"), N, 2) == pytest.approx(np.sort(LEVELS["spread"])[:2], rel=1e-12)


def test_one_dimension_left_counts_once() -> None:
    """With k = n - 1 the bordered matrix is A itself, and the rest adds no eigenvalue."""
    A = symmetric(LEVELS["spread"], 2)
    space = space_of(A, N - 1)
    truth = np.sort(LEVELS["spread"])
    rest = rests(A, space)
    assert largest_bounds(space, float(rest[0]), N, 3) == pytest.approx(truth[::-1][:3], rel=1e-11)
    assert smallest_bounds(space, float(rest[0]), N, 3) == pytest.approx(truth[:3], rel=1e-11)
    high = largest_bounds(space, 50.0, N, 2)
    assert (high[0] > 50 - 1e-9, high[1] < 2) == (True, True)


def test_two_dimensions_left_count_twice() -> None:
    A = symmetric(LEVELS["spread"], 2)
    space = space_of(A, N - 2)
    assert (largest_bounds(space, 50.0, N, 3)[:2] >= 50 - 1e-9).all()
    assert largest_bounds(space, 50.0, N, 3)[2] < 2
    assert (smallest_bounds(space, -50.0, N, 3)[:2] <= -50 + 1e-9).all()


@pytest.mark.parametrize("gap", [1.0, 10.0])
def test_a_gap_squares_the_residual(gap: float) -> None:
    """A Ritz value theta with coupling c is exceeded by less than c^2 / (theta - rest)."""
    space = RitzSpace(torch.zeros(N, 1), np.array([[gap]]), np.array([1e-3]), torch.zeros(N), 1)
    excess = float(largest_bounds(space, 0.0, N, 1)[0]) - gap
    assert excess == pytest.approx(1e-6 / gap, rel=1e-4)
