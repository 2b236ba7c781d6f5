"""Geometric complexity, the slopes of the outputs in x, is held between multiples of the trace of one block of G."""

import torch
from torch import Tensor, nn
from torch.func import jacrev

from scalecurv.mlp.layers import open_batch
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from tests.loops import each
from tests.piecewise import Case, close, network, opened


def slopes_and_bias_trace(model: nn.Module, x: Tensor) -> tuple[float, float]:
    """(1/N) sum |df/dx|^2 by differentiating in x, and the trace of the b_1 block of G under mean mse."""
    y = torch.zeros_like(model(x)).detach()
    problem = Problem(model, (x, y), "mse")
    per_sample = torch.stack([jacrev(lambda x: problem.outputs(problem.theta, x[None])[0])(row) for row in x])
    bias = problem.space.slices["0.bias"]
    G = GaussNewtonOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64))
    return float((per_sample**2).sum() / len(x)), float(G[bias, bias].trace())


@each(shape=["wide", "two hidden", "deep", "other kinks"], trained=[False, True])
def test_between_the_ends_of_the_first_layer(shape: str, trained: bool) -> None:
    """lambda_min(W W') t <= GC <= lambda_max(W W') t, W = W_1, t the trace of the b_1 block; GC = mean |B_1 W_1|^2."""
    problem, mlp = opened(Case(shape, "mse", trained=trained))
    model = network(shape, "mse", trained)
    complexity, t = slopes_and_bias_trace(model, problem.x)
    layers = open_batch(problem, mlp, Batch(problem.x, problem.y, 0))
    eye = torch.eye(problem.num_outputs, dtype=torch.float64)
    B = layers.pulled(eye.expand(problem.num_data, -1, -1))[0]
    close(((B @ layers.weights[0]) ** 2).sum() / problem.num_data, complexity)
    close((B**2).sum() / problem.num_data, t)
    ends = torch.linalg.eigvalsh(layers.weights[0] @ layers.weights[0].T)
    assert ends[0] * t * (1 - 1e-12) <= complexity <= ends[-1] * t * (1 + 1e-12)


def test_tight_for_orthogonal_rows() -> None:
    """W_1 = 3 times orthonormal rows: GC = 9 t."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    x = torch.randn(9, 4, dtype=torch.float64)
    with torch.no_grad():
        model[0].weight.copy_(3 * torch.linalg.qr(model[0].weight.T)[0].T)
    complexity, t = slopes_and_bias_trace(model, x)
    assert t > 0.1
    close(complexity, 9 * t)
