"""Directions in which the outputs grow in proportion, J w = c f: what H makes of them and what lambda_max(G) owes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.piecewise import Case, close, homogeneous, opened

CASES = homogeneous("one layer", "one output", "two hidden", "no biases", "some biases")
by_case = each(case=CASES)


def directions(problem: Problem) -> list[tuple[int, Tensor]]:
    """(c, E) with J E theta = c f: E = 1 on W_l and on b_m, m >= l, for each layer l; 1 on W_l and l on b_l for all."""
    shapes = problem.space.shapes
    layers = sorted({int(name.split(".")[0]) for name in shapes})

    def diagonal(weight: Callable[[int], float], bias: Callable[[int], float]) -> Tensor:
        filled = {}
        for name, shape in shapes.items():
            module, kind = name.split(".")
            l = 1 + layers.index(int(module))
            filled[name] = torch.full(shape, float((weight if kind == "weight" else bias)(l)), dtype=torch.float64)
        return problem.space.flatten(filled)

    found = [(1, diagonal(lambda m, l=l: m == l, lambda m, l=l: m >= l)) for l in range(1, len(layers) + 1)]
    return [*found, (len(layers), diagonal(lambda m: 1, lambda m: m))]


def root_times_outputs(problem: Problem) -> tuple[Tensor, Tensor]:
    """F_i'f_i and M_i f_i = F_i F_i' f_i, (N, D) each."""
    f = problem.outputs(problem.theta, problem.x)
    assert problem.loss.factor is not None
    F = problem.scale**0.5 * problem.loss.factor(f, problem.y)
    half = torch.einsum("ncd,nc->nd", F, f)
    return half, torch.einsum("ncd,nd->nc", F, half)


@by_case
def test_growth_in_proportion(case: Case) -> None:
    """J E theta = c f and H E theta = c J'M f + (c - E) g, c = 1 for one layer and L for all."""
    problem, _ = opened(case)
    f, g = problem.outputs(problem.theta, problem.x), loss_and_gradient(problem)[1]
    J, (_, Mf) = JacobianOperator(problem), root_times_outputs(problem)
    for c, E in directions(problem):
        close(J.matvec(E * problem.theta), c * f.flatten())
        close(HessianOperator(problem).matvec(E * problem.theta), c * J.rmatmat(Mf.reshape(-1, 1))[:, 0] + (c - E) * g)


@by_case
def test_largest_eigenvalue_from_below(case: Case) -> None:
    """lambda_max(G) >= c^2 sum f'Mf / |E theta|^2, the Rayleigh quotient of G at E theta."""
    problem, _ = opened(case)
    G, (half, _) = GaussNewtonOperator(problem), root_times_outputs(problem)
    top = torch.linalg.eigvalsh(G.matmat(torch.eye(problem.num_params, dtype=torch.float64)))[-1]
    for c, E in directions(problem):
        w = E * problem.theta
        close(w @ G.matvec(w), c**2 * (half**2).sum())
        assert top * (1 + 1e-12) >= c**2 * (half**2).sum() / (w @ w)


def test_the_bound_is_tight_for_one_sample_along_itself() -> None:
    """f = w.x at w = 2 x, |x|^2 = 9: G = x x', lambda_max(G) = 9 and f^2 / |w|^2 = 18^2 / 36."""
    x = torch.tensor([[1.0, 2.0, -2.0]], dtype=torch.float64)
    model = nn.Sequential(nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(2 * x)
    problem = Problem(model, (x, x[:, :1]), "mse")
    top = torch.linalg.eigvalsh(GaussNewtonOperator(problem).matmat(torch.eye(3, dtype=torch.float64)))[-1]
    for c, E in directions(problem):
        w = E * problem.theta
        half, _ = root_times_outputs(problem)
        assert float(c**2 * (half**2).sum() / (w @ w)) == pytest.approx(9, rel=1e-12)
    close(top, 9.0)
