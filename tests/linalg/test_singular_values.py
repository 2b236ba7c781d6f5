"""The bounds values <= sigma <= values + error hold for every shape and spectrum, at the products counted."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.probes import probes
from scalecurv.linalg.singular_values import NUM_TESTS, singular_values
from tests.matrices import rectangular

AMPLE = 1 << 30
SHAPES = [(300, 160), (160, 300), (200, 200)]
SINGULAR = {
    "rank 20": np.linspace(3, 1, 20),
    "rank 75": np.linspace(3, 1, 75),
    "fast decay": 0.5 ** np.arange(160),
    "slow decay": 1.0 / np.arange(1, 161),
    "full rank": np.linspace(2, 1, 160),
    "nothing": np.zeros(0),
}


def test_the_two_sided_bound() -> None:
    for dtype in [torch.float64, torch.float32]:
        for memory in [AMPLE, 200_000]:
            for shape in SHAPES:
                for spectrum in SINGULAR:
                    A = rectangular(*shape, SINGULAR[spectrum]).to(dtype)
                    sigma = torch.linalg.svdvals(A.double()).numpy()
                    operator = CountingOperator(DenseOperator(A, symmetric=False))
                    found = singular_values(operator, 0, memory)
                    k, rounding = len(found.values), 50 * torch.finfo(dtype).eps * sigma[0]
                    assert bool((found.values <= sigma[:k] + rounding).all())
                    assert bool((sigma[:k] <= found.values + found.error + rounding).all())
                    assert sigma[k:].max(initial=0) <= found.error + rounding
                    assert found.num_matvecs == operator.num_matvecs + operator.num_rmatvecs
                    assert found.complete == (k == min(shape))
                    assert bool((np.diff(found.values) <= 0).all())
                    assert found.values.dtype == np.float64


def test_the_sketch_grows_until_nothing_is_missed() -> None:
    for shape in SHAPES:
        for spectrum, size in [
            ("rank 20", 64),
            ("fast decay", 64),
            ("nothing", 64),
            ("rank 75", None),
            ("full rank", None),
        ]:
            found = singular_values(DenseOperator(rectangular(*shape, SINGULAR[spectrum])), 0, AMPLE)
            largest = SINGULAR[spectrum].max(initial=0)
            if size is None:  # half of the smaller side is reached: the whole side costs no more
                assert found.complete
                assert found.error == 0
                assert found.num_matvecs == 64 + NUM_TESTS + min(shape)
            else:
                assert len(found.values) == size
                assert found.error <= max(shape) * 2.3e-16 * largest
                assert found.num_matvecs == size + NUM_TESTS + size


def test_a_small_side_is_taken_whole_without_a_sketch() -> None:
    A = rectangular(50, 9, np.linspace(2, 1, 9))
    found = singular_values(DenseOperator(A), 0, AMPLE)
    np.testing.assert_allclose(found.values, np.linspace(2, 1, 9), rtol=1e-12)
    assert (found.complete, found.error, found.num_matvecs) == (True, 0.0, 9)


def test_memory_ends_the_growth_and_the_error_says_so() -> None:
    A = rectangular(300, 160, SINGULAR["slow decay"])
    found = singular_values(DenseOperator(A), 0, 30 * (2 * 300 + 160) * 8)
    assert len(found.values) == 30
    assert not found.complete
    assert found.error > 1 / 31  # the best that 30 vectors can do
    assert found.num_matvecs == 30 + NUM_TESTS + 30


def test_the_error_is_that_of_halko_martinsson_and_tropp() -> None:
    """10 sqrt(2/pi) times the largest part of ten fresh vectors that the range of the sketch misses."""
    A = torch.diag(torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64))
    found = singular_values(DenseOperator(A, symmetric=False), 0, 3 * 3 * 8)
    W = A @ probes(3, 0, "range finder", range(1 + NUM_TESTS), "gaussian")
    q = W[:, :1] / W[:, :1].norm()
    missed = (W - q @ (q.T @ W))[:, 1:].norm(dim=0).max()
    assert found.error == pytest.approx(10 * (2 / np.pi) ** 0.5 * float(missed), rel=1e-12)


def test_the_seed_draws_the_sketch() -> None:
    operator = DenseOperator(rectangular(300, 160, SINGULAR["slow decay"]))
    first, again, other = (singular_values(operator, seed, 200_000) for seed in (0, 0, 1))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)
