"""The rescaling directions as an operator: against the vectors written out, and what J and g make of them."""

import pytest
import torch
from torch import nn

from scalecurv.mlp.rescaling import RescalingOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.structure import recognise_mlp
from tests.mlp.test_rescaling import null_vectors
from tests.networks import problem as example
from tests.piecewise import Case, close, data, laid_open, named, network, opened

by_shape = pytest.mark.parametrize("shape", ["one output", "two hidden", "no biases", "some biases"])


def operator(shape: str, trained: bool = False) -> tuple[Problem, RescalingOperator]:
    problem, mlp = opened(Case(shape, "mse", trained=trained))
    return problem, RescalingOperator(problem, mlp)


@pytest.mark.parametrize("trained", [False, True])
@by_shape
def test_against_the_vectors_written_out(shape: str, trained: bool) -> None:
    """From both sides, for one vector and for several."""
    problem, V = operator(shape, trained)
    dense = null_vectors(problem)
    assert V.shape == tuple(dense.shape)
    assert V.dtype == torch.float64
    assert torch.equal(V.matmat(torch.eye(V.shape[1], dtype=torch.float64)), dense)
    close(V.rmatmat(torch.eye(V.shape[0], dtype=torch.float64)), dense.T)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(V.shape[1], 4, generator=rng, dtype=torch.float64)
    u = torch.randn(V.shape[0], 3, generator=rng, dtype=torch.float64)
    close(V.matmat(x), dense @ x)
    close(V.rmatmat(u), dense.T @ u)
    close(V.matvec(x[:, 0]), dense @ x[:, 0])


@by_shape
def test_adjoint(shape: str) -> None:
    """<V x, u> = <x, V' u>."""
    problem, V = operator(shape)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(V.shape[1], 2, generator=rng, dtype=torch.float64)
    u = torch.randn(V.shape[0], 2, generator=rng, dtype=torch.float64)
    close(V.matmat(x).T @ u, x.T @ V.rmatmat(u), float(problem.theta.norm() * u.norm() * x.norm().clamp_min(1)))


@by_shape
@pytest.mark.parametrize("loss", ["mse", "soft"])
def test_no_output_and_no_loss_moves(shape: str, loss: str) -> None:
    """J V = 0, g'V = 0; and without the signs, weights in and out together, they do move."""
    if (shape, loss) == ("one output", "soft"):
        loss = "mse"
    problem, mlp = laid_open(Problem(network(shape, loss), data(shape, loss), named(loss)))
    V, J = RescalingOperator(problem, mlp), JacobianOperator(problem)
    assert V.shape == (problem.num_params, mlp.num_hidden)
    moved = V.matmat(torch.eye(mlp.num_hidden, dtype=torch.float64))
    size = J.matmat(moved.abs()).abs().max()
    close(J.matmat(moved), torch.zeros(J.shape[0], mlp.num_hidden), float(size))
    g = loss_and_gradient(problem)[1]
    close(V.rmatmat(g[:, None]), torch.zeros(mlp.num_hidden, 1), float(g.abs() @ moved.abs().sum(1)))
    assert float(size) > 1e-2


def test_a_step_along_them_keeps_the_function() -> None:
    """theta + e V x moves f by e^2 only: a second-order change, a quarter of it at half the step."""
    problem, V = operator("two hidden")
    v = V.matvec(torch.linspace(-1, 1, V.shape[1], dtype=torch.float64))
    f = problem.outputs(problem.theta, problem.x)
    first, second = (problem.outputs(problem.theta + e * v, problem.x) - f for e in (1e-4, 5e-5))
    torch.testing.assert_close(4 * second, first, rtol=1e-2, atol=1e-3 * float(first.abs().max()))
    assert 0 < float(first.abs().max()) < 1e-6


@pytest.mark.parametrize("shape", ["one layer", "one layer, no bias"])
def test_nothing_to_rescale(shape: str) -> None:
    """No hidden neuron, no direction."""
    problem, V = operator(shape)
    assert V.shape == (problem.num_params, 0)
    assert torch.equal(V.matmat(torch.zeros(0, 2)), torch.zeros(problem.num_params, 2))


def test_refuses_tanh() -> None:
    problem = example("tanh")
    mlp = recognise_mlp(problem.model)
    assert mlp is not None
    with pytest.raises(ValueError, match="homogeneous activations: ReLU, LeakyReLU or none"):
        RescalingOperator(problem, mlp)
    clipped, structure = opened(Case("wide", "mse"))  # piecewise linear, and still not homogeneous
    with pytest.raises(ValueError, match="homogeneous"):
        RescalingOperator(clipped, structure)


def test_a_biased_layer_behind_one_without() -> None:
    """The layers' names, not their places, say where in theta each of them lies."""
    layers = [nn.Flatten(), nn.Linear(3, 2, False), nn.ReLU(), nn.Linear(2, 2), nn.LeakyReLU(0.1), nn.Linear(2, 1)]
    torch.manual_seed(0)
    model = nn.Sequential(*layers).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    problem, mlp = laid_open(Problem(model, (x, x[:, :1]), "mse"))
    dense = null_vectors(problem)
    assert torch.equal(RescalingOperator(problem, mlp).matmat(torch.eye(4, dtype=torch.float64)), dense)
    assert torch.equal(dense[:3, 0], model[1].weight[0].detach())
    assert torch.equal(dense[6:10, 0], -(model[3].weight.detach() * torch.tensor([1, 0])).flatten())
