"""Counts of singular values above a share of the largest, with the interval that the sketch leaves."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.ranks import numerical_rank
from scalecurv.linalg.singular_values import SingularValues, singular_values
from scalecurv.statistics.estimate import Status
from tests.matrices import rectangular

SINGULAR = {
    "rank 20": np.linspace(3, 1, 20),
    "rank 75": np.linspace(3, 1, 75),
    "steps": np.repeat([1.0, 1e-3, 1e-6, 1e-9], 10),
    "decay": 0.6 ** np.arange(120),
    "full": np.linspace(2, 1.05, 160),
}  # no value within rounding of a threshold below
ROUNDOFF = 300 * np.finfo(np.float64).eps


def test_it_counts_as_the_svd_does() -> None:
    for tau in [0.5, 1e-2, 2e-4, 1e-7, ROUNDOFF]:
        for shape in [(300, 160), (160, 300)]:
            for spectrum in SINGULAR:
                A = rectangular(*shape, SINGULAR[spectrum])
                found = numerical_rank(singular_values(DenseOperator(A), 0, 1 << 30), tau)
                sigma = torch.linalg.svdvals(A).numpy()
                assert found.value == found.lower == found.upper == (sigma > tau * sigma[0]).sum()
                assert found.status is Status.CONVERGED


def test_short_of_memory_the_interval_holds_the_rank() -> None:
    for tau in [0.5, 1e-2, 2e-4, ROUNDOFF]:
        for vectors in [5, 15, 50]:
            for spectrum in SINGULAR:
                A = rectangular(300, 160, SINGULAR[spectrum])
                found = numerical_rank(singular_values(DenseOperator(A), 0, vectors * (2 * 300 + 160) * 8), tau)
                sigma = torch.linalg.svdvals(A).numpy()
                assert found.lower <= (sigma > tau * sigma[0]).sum() <= found.upper
                assert found.value == found.lower
                assert found.status is (Status.CONVERGED if found.lower == found.upper else Status.LOWER_BOUND)
                if vectors < (sigma > tau * sigma[0]).sum():
                    assert found.status is Status.LOWER_BOUND
                    assert found.lower <= vectors
                    assert found.confidence == 1 - 1e-10


@pytest.mark.parametrize("shape", [(300, 160), (3, 2)])
def test_nothing_has_rank_zero(shape: tuple[int, int]) -> None:
    found = numerical_rank(singular_values(DenseOperator(torch.zeros(shape, dtype=torch.float64)), 0, 1 << 30), 1e-3)
    assert (found.value, found.upper, found.status) == (0, 0, Status.CONVERGED)


def test_what_the_error_leaves_open() -> None:
    for values, error, complete, lower, upper in [
        ([1.0, 0.2, 0.05], 0.0, True, 2, 2),
        ([1.0, 0.11, 0.05], 0.06, False, 2, 3),  # 0.05 may be as much as 0.11
        ([1.0, 0.104, 0.01], 0.06, False, 1, 2),  # the largest may be 1.06, which 0.104 does not reach a tenth of
        ([1.0, 0.2, 0.05], 0.11, False, 2, 9),  # and any number of unseen values may reach 0.1
        ([1.0, 0.1, 0.05], 0.0, True, 1, 1),  # at the threshold is not above it
        ([1.0, 0.2, 0.05], 0.1, False, 2, 3),  # nor may unseen values be
        ([1.0, 0.104, 0.05], [0.0, 0.0, 0.06], True, 2, 3),  # the largest is sharp: 0.104 is above a tenth of it
        ([1.0, 0.104, 0.05], [0.06, 0.0, 0.0], True, 1, 2),
        ([1.0, 0.2, 0.05], [0.0, 0.0, 0.11], False, 2, 9),  # unseen values are below the largest of the errors
        ([1.0, 0.2, 0.05], [0.0, 0.0, 0.09], False, 2, 3),
        ([0.0, 0.0], [1e-9, 1e-9], True, 0, 2),
        ([0.0, 0.0], [0.0, 0.0], False, 0, 0),
    ]:
        error = np.array(error) if isinstance(error, list) else error
        found = numerical_rank(SingularValues(np.array(values), error, complete, (12, 9), 33), 0.1)
        assert (found.value, found.lower, found.upper, found.num_matvecs) == (lower, lower, upper, 33)
        assert found.confidence == (1.0 if complete else 1 - 1e-10)
        assert found.method == "singular values above 0.1 of the largest"


def test_the_method_names_the_threshold_to_three_digits() -> None:
    found = numerical_rank(SingularValues(np.ones(2), 0.0, True, (2, 2), 0), 1.23456e-13)
    assert found.method == "singular values above 1.23e-13 of the largest"
