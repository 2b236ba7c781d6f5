"""Rescaling a hidden neuron: it moves no output, gradient descent conserves a number, and tr H becomes smallest."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from scalecurv.mlp.trace import layer_traces
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.piecewise import Case, close, homogeneous, laid_open, opened

CASES = homogeneous("one output", "two hidden", "no biases", "some biases")
by_case = each(case=CASES)


def linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model if isinstance(module, nn.Linear)]


def masks(problem: Problem) -> list[tuple[Tensor, Tensor]]:
    """Return for each hidden neuron the parameters into it (weights and bias) and out of it, as 0 and 1."""
    layers, pairs = linears(problem.model), []
    names = [name for name, module in problem.model.named_children() if isinstance(module, nn.Linear)]
    for l, (name, after) in enumerate(pairwise(names)):
        for j in range(layers[l].out_features):
            given = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in problem.space.shapes.items()}
            given[f"{name}.weight"][j] = 1
            if layers[l].bias is not None:
                given[f"{name}.bias"][j] = 1
            coming = problem.space.flatten(given)
            given = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in problem.space.shapes.items()}
            given[f"{after}.weight"][:, j] = 1
            pairs.append((coming, problem.space.flatten(given)))
    return pairs


def null_vectors(problem: Problem) -> Tensor:
    """(+ w_in, + b_in, - w_out) of each hidden neuron, a column each."""
    return torch.stack([problem.theta * (coming - going) for coming, going in masks(problem)], 1)


@by_case
def test_null_vectors_of_the_jacobian(case: Case) -> None:
    """J V = 0 and g'V = 0; the h vectors are independent."""
    problem, mlp = opened(case)
    V = null_vectors(problem)
    JV = JacobianOperator(problem).matmat(V)
    close(JV, torch.zeros_like(JV), float(JacobianOperator(problem).matmat(V.abs()).abs().max()))
    g = loss_and_gradient(problem)[1]
    close(g @ V, torch.zeros(V.shape[1]), float(g.abs() @ V.abs().sum(1)))
    assert int(torch.linalg.matrix_rank(V)) == mlp.num_hidden


@by_case
def test_what_the_hessian_makes_of_them(case: Case) -> None:
    """H v = -S g with S = 1 on what comes in and -1 on what goes out; v'Hv = -2 theta_in . g_in."""
    problem, _ = opened(case)
    g, V = loss_and_gradient(problem)[1], null_vectors(problem)
    HV = HessianOperator(problem).matmat(V)
    for v, Hv, (coming, going) in zip(V.T, HV.T, masks(problem), strict=True):
        close(Hv, -(coming - going) * g, float(HV.abs().max()))
        close(v @ Hv, -2 * (problem.theta * coming) @ g, float((v.abs() @ Hv.abs()).clamp_min(1e-3)))


def test_neurons_that_only_know_each_other() -> None:
    """A pair cut off from inputs, biases and outputs costs one of the h null vectors; an isolated neuron another."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    first, second, last = linears(model)
    x = torch.randn(5, 3, dtype=torch.float64)

    def rank() -> int:
        return int(torch.linalg.matrix_rank(null_vectors(Problem(model, (x, x[:, :2]), "mse"))))

    assert rank() == 8
    with torch.no_grad():
        first.weight[0], first.bias[0], second.weight[1:, 0] = 0, 0, 0  # first neuron 0 reaches second 0 alone
        second.weight[0, 1:], second.bias[0], last.weight[:, 0] = 0, 0, 0  # which hears and says nothing else
    assert rank() == 7
    with torch.no_grad():
        first.weight[1], first.bias[1], second.weight[:, 1] = 0, 0, 0
    assert rank() == 6
    with torch.no_grad():
        last.weight[1, 0] = 1  # one output weight ties the pair down again
    assert rank() == 7


@each(case=CASES, rate=[0.01, 1.0])
def test_one_step_of_gradient_descent(case: Case, rate: float) -> None:
    """|in|^2 - |out|^2 of each neuron changes by exactly rate^2 (|g_in|^2 - |g_out|^2)."""
    problem, _ = opened(case)
    g = loss_and_gradient(problem)[1]
    after = problem.theta - rate * g
    for coming, going in masks(problem):
        S = coming - going
        change = S @ after**2 - S @ problem.theta**2
        close(change, rate**2 * S @ g**2, float((coming + going) @ (problem.theta**2 + after**2)))


def one_hidden(width: int, outputs: int, loss: str, trained: bool) -> Problem:
    torch.manual_seed(width)
    model = nn.Sequential(nn.Linear(3, width), nn.LeakyReLU(0.1), nn.Linear(width, outputs)).double()  # none dies
    x, y = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, outputs, dtype=torch.float64)
    y = y if loss == "mse" else y.argmax(1)
    for _ in range(10 if trained else 0):
        here = Problem(model, (x, y), loss)
        model.load_state_dict(here.space.unflatten(here.theta - 0.2 * loss_and_gradient(here)[1]))
    return Problem(model, (x, y), loss)


def rescaled(problem: Problem, factors: Tensor) -> Problem:
    """Return the same function, weights into hidden neuron j times factors[j] and those out of it divided by it."""
    first, phi, last = problem.model
    model = nn.Sequential(nn.Linear(*first.weight.T.shape), phi, nn.Linear(*last.weight.T.shape)).double()
    with torch.no_grad():
        model[0].weight.copy_(first.weight * factors[:, None])
        model[0].bias.copy_(first.bias * factors)
        model[2].weight.copy_(last.weight / factors)
        model[2].bias.copy_(last.bias)
    return Problem(model, (problem.x, problem.y), problem.loss)


@each(
    net=[
        (2, 2, "mse", True),
        (2, 2, "cross_entropy", False),
        (6, 3, "mse", False),
        (6, 3, "cross_entropy", True),
    ]
)
def test_the_smallest_trace_of_one_function(net: tuple[int, int, str, bool]) -> None:
    """min tr H = sum_j 2 sqrt(t_in t_out) + t_b2, attained by factors (t_in / t_out)^(1/4), beaten by no others."""
    problem = one_hidden(*net)
    diagonal = torch.diag(HessianOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64)))
    t_in, t_out = (torch.stack([diagonal @ mask[k] for mask in masks(problem)]) for k in (0, 1))
    assert (t_in > 0).all()
    assert (t_out > 0).all()
    smallest = float((2 * (t_in * t_out).sqrt()).sum() + diagonal[problem.space.slices["2.bias"]].sum())
    factors = (t_in / t_out) ** 0.25
    best = rescaled(problem, factors)
    close(best.outputs(best.theta, best.x), problem.outputs(problem.theta, problem.x))
    close(layer_traces(*laid_open(best)).sum(), smallest)
    close(layer_traces(*laid_open(problem)).sum(), diagonal.sum())
    assert smallest < 0.999 * float(diagonal.sum())
    for j in range(len(factors)):
        for nudge in (0.9, 1.1):
            other = factors.clone()
            other[j] *= nudge
            more = 2 * (t_in * t_out).sqrt()[j] * ((nudge**2 + nudge**-2) / 2 - 1)
            close(layer_traces(*laid_open(rescaled(problem, other))).sum(), smallest + more)
