"""Which road is open: by the structure, by what is asked for, and by what it would cost."""

import re

import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.route import Strategy
from scalecurv.mlp.block_norms import block_norms_cost
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.networks import problem
from tests.quadratic import quadratic

MEMORY = 1 << 30


def strategy(route: str | None = None, max_matvecs: int = 1000, memory: int = MEMORY) -> Strategy:
    return Strategy(0.01, max_matvecs, memory, route)


def one_layer(num_data: int) -> Problem:
    x = torch.zeros(num_data, 10, dtype=torch.float64)
    return Problem(nn.Sequential(nn.Linear(10, 2)).double(), (x, x[:, :2]), "mse")


@pytest.mark.parametrize("measure", [Moments, Curvature])
def test_an_unknown_route_is_answered_with_the_known_ones(measure: type) -> None:
    wanted = "unknown route 'fast'; choose from exact, sampled, generic, dense, or leave it out"
    with pytest.raises(Misuse, match=f"^{re.escape(wanted)}$"):
        measure(route="fast").compute(Evaluation(problem("relu")))


@each(name=["relu", "one output", "tanh", "conv", "tied", "partly", "batch norm"])
def test_structure_is_that_of_piecewise_linear_mlps(name: str) -> None:
    point = problem(name)
    structured = name in ("relu", "one output")
    for route in (None, "sampled"):
        assert (strategy(route).structure(point) is not None) == structured
    assert strategy("generic").structure(point) is None
    if structured:
        assert strategy("exact").structure(point) is not None
    else:
        with pytest.raises(Misuse, match="route 'exact' needs"):
            strategy("exact").structure(point)


def test_a_loss_without_a_known_factor_has_no_structure() -> None:
    A = torch.eye(3, dtype=torch.float64)
    loss = quadratic(A, A[0]).loss
    point = Problem(nn.Sequential(nn.Linear(3, 1)).double(), (A, A[0]), loss)
    assert structure_of(point) is not None
    assert strategy().structure(point) is None
    with pytest.raises(Misuse, match="route 'exact' needs"):
        strategy("exact").structure(point)


@pytest.mark.parametrize(("max_matvecs", "exact"), [(6, True), (7, True), (5, False)])
def test_the_trace_is_exact_while_its_passes_are_half_of_all(max_matvecs: int, exact: bool) -> None:
    point = problem("relu")  # 3 outputs
    for route in (None, "sampled"):
        assert strategy(route, max_matvecs).trace_is_exact(point) == exact
    assert strategy("exact", max_matvecs).trace_is_exact(point)


@pytest.mark.parametrize("num_data", [20, 300])
def test_the_square_is_exact_while_it_costs_a_quarter_of_the_products(num_data: int) -> None:
    """A product is 6 multiplications a sample and weight: forward, backward and both of them derived."""
    point = one_layer(num_data)
    mlp = structure_of(point)
    assert mlp is not None
    flops, size = block_norms_cost(point, mlp)
    worth = 4 * flops / (6 * num_data * 20)
    enough = int(worth) + 1
    assert strategy(max_matvecs=enough).square_is_exact(point, mlp)
    assert not strategy(max_matvecs=int(worth) - 1).square_is_exact(point, mlp)
    assert strategy("exact", int(worth) - 1, 1).square_is_exact(point, mlp)
    assert not strategy("sampled", enough).square_is_exact(point, mlp)
    assert not strategy(max_matvecs=enough, memory=int(2 * size) - 1).square_is_exact(point, mlp)
    assert strategy(max_matvecs=enough, memory=int(2 * size) + 1).square_is_exact(point, mlp)


def test_equal_plans_share() -> None:
    assert hash(strategy()) == hash(strategy())
    assert strategy() == strategy()
    assert len({strategy(), strategy("exact"), strategy("sampled"), strategy("generic")}) == 4
