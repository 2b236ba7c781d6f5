"""An explicit matrix as an operator, and the conversion of arrays."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator, aslinearoperator


def test_products_are_those_of_the_matrix() -> None:
    A = np.arange(6.0).reshape(2, 3)
    operator = aslinearoperator(A)
    np.testing.assert_array_equal(operator @ np.eye(3), A)
    np.testing.assert_array_equal(operator.rmatmat(torch.eye(2)).numpy(), A.T)
    assert operator.shape == (2, 3)
    assert operator.dtype == torch.float64
    assert not operator.symmetric


def test_an_operator_passes_the_door_unchanged() -> None:
    operator = DenseOperator(torch.eye(2))
    assert aslinearoperator(operator) is operator


@pytest.mark.parametrize(
    ("matrix", "symmetric"), [(torch.eye(3), True), (torch.ones(2, 3), False), (torch.tensor([[0, 1], [2, 0]]), False)]
)
def test_symmetry_is_read_off_unless_declared(matrix: torch.Tensor, symmetric: bool) -> None:
    assert DenseOperator(matrix).symmetric is symmetric
    assert DenseOperator(matrix, symmetric=not symmetric).symmetric is not symmetric


def test_a_vector_is_no_matrix() -> None:
    with pytest.raises(ValueError, match=r"^a matrix has two axes, this array has shape \(3,\)$"):
        DenseOperator(torch.ones(3))


def test_counting_counts_columns_on_both_sides() -> None:
    rectangular = CountingOperator(DenseOperator(torch.ones(2, 3)))
    rectangular.matmat(torch.ones(3, 4))
    rectangular.matvec(torch.ones(3))
    rectangular.rmatmat(torch.ones(2, 7))
    assert (rectangular.num_matvecs, rectangular.num_rmatvecs) == (5, 7)
    square = CountingOperator(DenseOperator(torch.eye(2)))
    square.rmatmat(torch.ones(2, 3))
    assert (square.num_matvecs, square.num_rmatvecs) == (3, 0)  # one map, one count
