"""The cost of a number is the number of products of its operator."""

import pytest
import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.operator import LinearOperator


class Twice(LinearOperator):
    """The square A A as one operator, at the cost of two products."""

    symmetric = True
    cost = 2

    def __init__(self, A: Tensor):
        self.A, self.shape, self.dtype, self.device = A, (len(A), len(A)), A.dtype, A.device

    def _matmat(self, V: Tensor) -> Tensor:
        return self.A @ (self.A @ V)


@pytest.mark.parametrize("cost", [1, 2, 5])
def test_each_column_counts_at_its_cost(cost: int) -> None:
    A = torch.arange(6, dtype=torch.float64).view(2, 3)
    inner = DenseOperator(A)
    inner.cost = cost
    counting = CountingOperator(inner)
    assert (counting.num_matvecs, counting.num_rmatvecs, counting.cost) == (0, 0, cost)
    V, U = torch.randn(3, 4, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    assert torch.equal(counting.matmat(V), A @ V)
    assert (counting.num_matvecs, counting.num_rmatvecs) == (4 * cost, 0)
    assert torch.equal(counting.rmatmat(U), A.T @ U)
    assert (counting.num_matvecs, counting.num_rmatvecs) == (4 * cost, 5 * cost)
    counting.matvec(V[:, 0])
    assert counting.num_matvecs == 5 * cost


def test_an_operator_made_of_two_says_so_by_itself() -> None:
    A = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    counting = CountingOperator(Twice(A))
    assert counting.symmetric
    assert torch.equal(counting.rmatmat(torch.eye(3, dtype=torch.float64)), A @ A)
    assert (counting.num_matvecs, counting.num_rmatvecs) == (6, 0)  # a symmetric operator has no other side
    inner = CountingOperator(Twice(A))
    nested = CountingOperator(inner)
    nested.matvec(A[0])
    assert (nested.num_matvecs, inner.num_matvecs) == (2, 2)


def test_an_operator_costs_one_unless_it_says_otherwise() -> None:
    assert CountingOperator(DenseOperator(torch.eye(2))).cost == 1


def test_a_block_that_does_not_fit_costs_nothing() -> None:
    counting = CountingOperator(DenseOperator(torch.eye(3)))
    with pytest.raises(ValueError, match="3 x 3"):
        counting.matmat(torch.ones(2, 1))
    assert counting.num_matvecs == 0
