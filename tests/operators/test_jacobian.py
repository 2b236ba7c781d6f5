"""Jacobian products from both sides against the dense Jacobian, rows sample by sample."""

import torch
from torch.func import jacrev

from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.statistics.estimate import Status
from tests.loops import each
from tests.measures.rank.test_rank_of_networks import LEAKY, ask, gaussian, net, svd_rank
from tests.networks import NETWORKS, oracle, problem

SEVERAL = [name for name in NETWORKS if name != "one output"]


ONE_BY_ONE = [("conv", 2, 1)]  # two samples and one vector at a time


@each(way=[(name, batch_size, 1 << 30) for name in NETWORKS for batch_size in (None, 3)] + ONE_BY_ONE)
def test_against_the_dense_jacobian(way: tuple[str, int | None, int]) -> None:
    name, batch_size, memory = way
    truth = oracle(name).jacobian
    J = JacobianOperator(problem(name, batch_size=batch_size, memory=memory))
    assert J.shape == truth.shape
    torch.testing.assert_close(J.matmat(torch.eye(truth.shape[1])), truth, rtol=0, atol=1e-12)
    torch.testing.assert_close(J.rmatmat(torch.eye(truth.shape[0])), truth.T, rtol=0, atol=1e-12)


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


@each(way=[(name, batch_size, 1 << 30) for name in SEVERAL for batch_size in (None, 3)] + ONE_BY_ONE)
def test_of_probabilities(way: tuple[str, int | None, int]) -> None:
    """Against autodiff of the softmax of the outputs, from both sides."""
    name, batch_size, memory = way
    point = problem(name, batch_size=batch_size, memory=memory)
    truth = jacrev(lambda theta: point.outputs(theta, point.x).softmax(1).flatten())(point.theta)
    J = JacobianOperator(point, prob=True)
    assert J.shape == truth.shape
    torch.testing.assert_close(J.matmat(torch.eye(truth.shape[1])), truth, rtol=0, atol=1e-12)
    torch.testing.assert_close(J.rmatmat(torch.eye(truth.shape[0])), truth.T, rtol=0, atol=1e-12)


@each(name=SEVERAL)
def test_probabilities_have_an_output_less(name: str) -> None:
    """Rows are diag(p) - p p' times those of the outputs: their rank is that of differences, N (D - 1) at most."""
    point, J = problem(name), oracle(name).jacobian
    of_prob = JacobianOperator(point, prob=True).rmatmat(torch.eye(21)).T
    p = point.outputs(point.theta, point.x).softmax(1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(of_prob.view(7, 3, -1), middle @ J.view(7, 3, -1), rtol=0, atol=1e-12)
    assert float(of_prob.view(7, 3, -1).sum(1).abs().max()) < 1e-12
    differences = (J.view(7, 3, -1)[:, :2] - J.view(7, 3, -1)[:, 2:]).flatten(0, 1)
    rank = int(torch.linalg.matrix_rank(of_prob, rtol=1e-11))
    assert rank == int(torch.linalg.matrix_rank(differences, rtol=1e-11)) <= 7 * 2
    if name == "tanh":
        assert (rank, int(torch.linalg.matrix_rank(J, rtol=1e-11))) == (7 * 2, 7 * 3)


@each(seed=range(4))
def test_exact_ranks_of_probabilities(seed: int) -> None:
    """The softmax of the outputs, by singular values; N (D - 1) where there are few samples."""
    for num_data in (4, 30):
        point = net((3, 4, 3), gaussian(num_data, 3, seed), seed, LEAKY)
        found = ask(point, output="prob")
        assert found.lower == svd_rank(point, prob=True)
        assert found.estimate.status is Status.CERTIFIED
        assert all(bound.value >= found.lower for bound in found.bounds.values())
        assert found.lower == (4 * 2 if num_data == 4 else 31 - 4 - 5)
        if num_data == 30:
            assert found.bounds["symmetries"].value == 31 - 4 - 5
