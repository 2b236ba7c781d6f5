"""Singular values from J J' lie in values .. values + error, and the error has the size of its formula."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.ranks import numerical_rank
from scalecurv.linalg.singular_values import SingularValues, gram_values
from tests.matrices import rectangular

EPS = np.finfo(np.float64).eps
STEPS = {
    "one": np.ones(40),
    "1e-3": np.repeat([1.0, 1e-3], 20),
    "1e-6": np.repeat([3.0, 3e-3, 3e-6], 12),
    "1e-9": np.repeat([1.0, 1e-3, 1e-6, 1e-9], 10),
    "line": np.linspace(2e4, 1e4, 40),
    "tiny": 1e-150 * np.repeat([1.0, 1e-3], 20),
}
SHAPES = [(90, 60), (60, 90), (60, 60), (40, 200), (200, 40)]


def found(A: Tensor) -> SingularValues:
    return gram_values(A @ A.T, A.shape[1], (A.shape[0], A.shape[1]))


def test_the_two_sided_bound() -> None:
    for shape in SHAPES:
        for steps in STEPS:
            truth = np.concatenate([STEPS[steps], np.zeros(min(shape) - len(STEPS[steps]))])
            for seed in range(3):
                values = found(rectangular(*shape, STEPS[steps], seed))
                rounding = 1e-12 * truth[0]  # of the product that made the matrix
                assert values.values.shape == values.error.shape == (min(shape),)
                assert values.values.dtype == np.float64
                assert bool((values.values <= truth + rounding).all())
                assert bool((truth <= values.values + values.error + rounding).all())
                assert bool((values.values >= 0).all())
                assert bool((np.diff(values.values) <= 0).all())
                assert (values.complete, values.shape, values.num_matvecs) == (True, shape, 0)


@pytest.mark.parametrize(("terms", "m"), [(10**6, 3), (7, 400)])
def test_the_error_is_that_of_the_squares(terms: int, m: int) -> None:
    """Both ends, squared, are the eigenvalue moved by (terms + m) eps tr, and at least 0."""
    squares = np.concatenate([np.linspace(5, 4, m - 1), [0]])
    values = gram_values(torch.diag(torch.from_numpy(squares)), terms, (m, terms * 100))
    slack = (terms + m) * EPS * squares.sum()
    np.testing.assert_allclose(values.values**2, np.maximum(squares - slack, 0), rtol=1e-12)
    np.testing.assert_allclose((values.values + values.error) ** 2, squares + slack, rtol=1e-12)
    assert np.all(values.values[:-1] ** 2 < squares[:-1])
    assert values.values[-1] == 0


def test_counts_are_those_of_the_svd_or_say_that_they_are_not() -> None:
    for shape in SHAPES:
        for tau in [1e-2, 2e-3, 1e-4, 1e-9, 1e-11]:
            A = rectangular(*shape, STEPS["1e-9"])
            sigma = torch.linalg.svdvals(A).numpy()
            count, truth = numerical_rank(found(A), tau), int((sigma > tau * sigma[0]).sum())
            assert count.lower <= truth <= count.upper
            if tau >= 1e-4:
                assert count.lower == count.upper == truth
            else:
                assert count.lower < count.upper == min(shape)  # below 1e-6 all is lost


@pytest.mark.parametrize("m", [1, 5])
def test_zero_has_no_singular_value(m: int) -> None:
    values = gram_values(torch.zeros(m, m, dtype=torch.float64), 4, (m, 4))
    assert not values.values.any()
    assert not values.error.any()
    assert len(values.values) == min(m, 4)


def test_large_values_are_sharp_and_those_below_a_millionth_are_lost() -> None:
    values = found(rectangular(90, 60, STEPS["1e-9"]))
    assert values.error[:10].max() < 1e-12
    assert values.error[10:20].max() < 1e-8
    assert not values.values[30:].any()
    assert 1e-9 < values.error[30:].max() < 1e-5
