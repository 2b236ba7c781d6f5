"""Jacobian products from both sides against the dense Jacobian, rows sample by sample."""

import pytest
import torch

from scalecurv.curvature.jacobian import JacobianOperator
from tests.networks import NETWORKS, oracle, problem


@pytest.mark.parametrize(("batch_size", "memory"), [(None, 1 << 30), (3, 1 << 30), (2, 1)])
@pytest.mark.parametrize("name", NETWORKS)
def test_against_the_dense_jacobian(name: str, batch_size: int | None, memory: int) -> None:
    truth = oracle(name).jacobian
    J = JacobianOperator(problem(name, batch_size=batch_size, memory=memory))
    assert J.shape == truth.shape
    torch.testing.assert_close(J.matmat(torch.eye(truth.shape[1])), truth, rtol=0, atol=1e-13)
    torch.testing.assert_close(J.rmatmat(torch.eye(truth.shape[0])), truth.T, rtol=0, atol=1e-13)


def test_loss_and_reduction_leave_it_alone() -> None:
    first, second = problem("tanh", "mse", "mean"), problem("tanh", "cross_entropy", "sum")
    v = torch.ones(74)
    assert torch.equal(JacobianOperator(first).matvec(v), JacobianOperator(second).matvec(v))


def test_row_i_d_plus_k_is_output_k_of_sample_i() -> None:
    point = problem("relu")
    direction = torch.randn(74, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = 1e-6 * direction
    change = (point.outputs(point.theta + step, point.x) - point.outputs(point.theta - step, point.x)) / 2e-6
    torch.testing.assert_close(JacobianOperator(point).matvec(direction).view(7, 3), change, rtol=1e-7, atol=1e-8)
