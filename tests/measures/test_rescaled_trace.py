"""The smallest trace of one function: networks rebuilt with the factors that are said to attain it."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from scalecurv.measures.rescaling import rescaled_trace
from scalecurv.mlp.trace import layer_traces
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.mlp.test_counterexamples import column, hessian_and_curvature, ranks, relu_net
from tests.piecewise import Case, close, homogeneous, laid_open, opened

BY_CASE = pytest.mark.parametrize("case", homogeneous("one layer", "two hidden", "some biases", "no biases"), ids=str)


def rebuilt(problem: Problem, factors: Tensor) -> Problem:
    """What comes into each hidden neuron times its factor, what goes out of it divided by it."""
    linears = [module for module in problem.model if isinstance(module, nn.Linear)]
    hidden = list(factors.split([layer.out_features for layer in linears[:-1]])) if len(linears) > 1 else []
    alphas = [torch.ones(linears[0].in_features), *hidden, torch.ones(linears[-1].out_features)]
    copies = []
    for layer, (before, after) in zip(linears, pairwise(alphas), strict=True):
        copy = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None).double()
        with torch.no_grad():
            copy.weight.copy_(layer.weight * after[:, None] / before)
            if layer.bias is not None:
                copy.bias.copy_(layer.bias * after)
        copies.append(copy)
    modules = iter(copies)
    model = nn.Sequential(*(next(modules) if isinstance(m, nn.Linear) else m for m in problem.model))
    return Problem(model, (problem.x, problem.y), problem.loss, reduction=problem.reduction)


def trace(problem: Problem) -> float:
    return float(layer_traces(*laid_open(problem)).sum())


def deep(seed: int = 0) -> Problem:
    """3 - 4 - 5 - 3 - 2, LeakyReLU so that no neuron is dead."""
    torch.manual_seed(seed)
    widths = (3, 4, 5, 3, 2)
    layers = [module for n, m in pairwise(widths) for module in (nn.Linear(n, m), nn.LeakyReLU(0.2))][:-1]
    model = nn.Sequential(*layers).double()
    return Problem(model, (torch.randn(9, 3).double(), torch.randn(9, 2).double()), "mse")


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_s15_one_function_has_one_smallest_trace(alpha: float) -> None:
    """K = 2 a^-4 + 16 a^-2 + 2 + 12 a^2 at rank 3; T = 7 a^-2 + 3 + 5 a^2, at its least 2 sqrt(7 * 5) + 3."""
    x = column(-1, 1, 2)
    model = relu_net(alpha, [1 / alpha])
    point = Problem(model, (x, model(x).detach()), "mse", reduction="sum")
    H, K = hessian_and_curvature(point)
    assert pytest.approx(2 * alpha**-4 + 16 * alpha**-2 + 2 + 12 * alpha**2, rel=1e-12) == K
    assert ranks(point, H) == (3, 3)
    assert float(H.trace()) == pytest.approx(7 / alpha**2 + 3 + 5 * alpha**2, rel=1e-12)
    found = rescaled_trace(*laid_open(point))
    assert found.value == pytest.approx(3 + 2 * 35**0.5, rel=1e-12)
    assert found.lower == pytest.approx(found.value, rel=1e-12)
    assert found.factors.tolist() == pytest.approx([(7 / 5) ** 0.25 / alpha], rel=1e-12)


@BY_CASE
def test_rebuilt_with_its_factors(case: Case) -> None:
    """The same outputs; tr H is the value, where no neuron costs on one side only."""
    problem, mlp = opened(case)
    found = rescaled_trace(problem, mlp)
    assert found.value <= trace(problem) * (1 + 1e-12)
    assert found.lower <= found.value <= found.lower * (1 + 1e-12)
    assert found.factors.shape == (mlp.num_hidden,)
    best = rebuilt(problem, torch.from_numpy(found.factors).nan_to_num(nan=1.0))
    close(best.outputs(best.theta, best.x), problem.outputs(problem.theta, problem.x))
    if found.attained:
        close(trace(best), found.value)


@pytest.mark.parametrize("seed", range(3))
def test_other_factors_give_more(seed: int) -> None:
    """Of a deep network: each neuron nudged alone, and all of them at random."""
    problem = deep(seed)
    found = rescaled_trace(*laid_open(problem))
    assert found.attained
    factors = torch.from_numpy(found.factors)
    best = rebuilt(problem, factors)
    close(best.outputs(best.theta, best.x), problem.outputs(problem.theta, problem.x))
    close(trace(best), found.value)
    assert found.value < 0.99 * trace(problem)
    for j in range(len(factors)):
        for nudge in (0.99, 1.01):
            other = factors.clone()
            other[j] *= nudge
            assert trace(rebuilt(problem, other)) > found.value * (1 + 1e-9)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(10):
        other = factors * torch.exp(0.3 * torch.randn(len(factors), generator=rng, dtype=torch.float64))
        assert trace(rebuilt(problem, other)) > found.value


def test_rescaling_first_changes_the_curvature_alone() -> None:
    """K and T of a rescaled network are others; loss, rank of J and the smallest trace are not, nor are the weights."""
    problem = deep()
    applied = torch.exp(torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    other = rebuilt(problem, applied)
    (H, K), (there, other_K) = hessian_and_curvature(problem), hessian_and_curvature(other)
    close(loss_and_gradient(other)[0], loss_and_gradient(problem)[0])
    assert abs(other_K / K - 1) > 0.1
    assert abs(float(there.trace() / H.trace()) - 1) > 0.1
    assert ranks(problem, H)[0] == ranks(other, there)[0]
    one, two = rescaled_trace(*laid_open(problem)), rescaled_trace(*laid_open(other))
    close(two.value, one.value)
    torch.testing.assert_close(
        torch.from_numpy(two.factors) * applied, torch.from_numpy(one.factors), rtol=1e-5, atol=0
    )
