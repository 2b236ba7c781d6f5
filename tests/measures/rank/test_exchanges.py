"""Neurons that are on together exchange what they pass on: the neuron bound counts it, and is sharp for linear nets."""

import pytest
import torch
from torch import nn

from scalecurv.linalg.residues import random_primes
from scalecurv.measures.rank import bounds as module
from scalecurv.measures.rank.bounds import exchanges, neuron_bound
from scalecurv.measures.rank.factors import region_factors
from scalecurv.mlp.activation_pattern import activation_pattern
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.measures.rank.test_region import open_all


def problem(*modules: nn.Module, x: torch.Tensor) -> Problem:
    return Problem(nn.Sequential(*modules).double(), (x, torch.zeros(len(x), 1)), "mse")


def asked(at: Problem) -> tuple[list[int], int]:
    """The exchanges of each hidden layer, and the bound."""
    opened = open_all(at)
    seeds = torch.eye(at.num_outputs, dtype=torch.float64)
    by_prime = tuple(region_factors(opened, seeds, prime) for prime in random_primes(2, 0))
    pattern = activation_pattern(opened)
    return [exchanges(opened, pattern, by_prime, l) for l in range(len(opened.slopes))], neuron_bound(
        opened, pattern, by_prime
    ).value


def inputs(num_data: int, width: int, rank: int) -> torch.Tensor:
    """Whole numbers, so that the rank is exact."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randint(-9, 10, (num_data, rank), generator=rng).double()
    return x @ torch.cat([torch.eye(rank), torch.ones(rank, width - rank)], dim=1).double()


@each(("widths", "rank"), [((6, 3, 2), 6), ((6, 4, 5), 3), ((5, 5, 4), 5), ((4, 2, 1), 4), ((3, 7, 2), 3)])
def test_sharp_for_two_linear_layers(widths: tuple[int, int, int], rank: int) -> None:
    """Without biases rank J = q (r_x + D - q), q = min(r_x, n): all neurons exchange with all."""
    torch.manual_seed(1)
    n0, n1, D = widths
    layers = (nn.Linear(n0, n1, bias=False), nn.Identity(), nn.Linear(n1, D, bias=False))
    model = nn.Sequential(*layers).double()
    x = inputs(40, n0, rank)
    at = Problem(model, (x, torch.zeros(40, D)), "mse")
    q = min(rank, n1)
    found, bound = asked(at)
    assert found == [n1 * q]
    assert bound == n1 * (rank - q) + D * q >= min(q, D) * (rank + D - min(q, D))


def test_neurons_that_are_always_on_exchange_with_the_biases() -> None:
    """Three neurons on everywhere: 3 x (3 + 1); without the biases behind them 3 x 3, without their own as many."""
    x = inputs(40, 5, 5)
    for first, second, wanted in ((True, True, 4), (True, False, 3), (False, True, 3)):
        torch.manual_seed(2)
        at = problem(nn.Linear(5, 3, first), nn.Identity(), nn.Linear(3, 1, second), x=x)
        assert asked(at)[0] == [3 * wanted]


def test_different_patterns_do_not_exchange() -> None:
    """A ReLU neuron and its mirror image share no sample: a rescaling each."""
    layers = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    with torch.no_grad():
        layers[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
        layers[0].bias.copy_(torch.tensor([0.5, -0.5]))
    assert asked(problem(*layers, x=inputs(30, 2, 2)))[0] == [2]


def test_twins_exchange_what_they_share() -> None:
    """Two neurons with one fold: each can take over the other's, which is its own again."""
    layers = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    with torch.no_grad():
        layers[0].weight.copy_(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
        layers[0].bias.copy_(torch.tensor([0.5, 1.0]))
    assert asked(problem(*layers, x=inputs(30, 2, 2)))[0] == [2]
    with torch.no_grad():
        layers[0].weight[1], layers[0].bias[1] = torch.tensor([1.0, 2.0]), 0.75  # another neuron, the same samples
    assert asked(problem(*layers, x=inputs(30, 2, 2)))[0] == [4]


def test_a_layer_too_wide_to_compare_has_its_rescalings(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    at = problem(nn.Linear(5, 4), nn.Identity(), nn.Linear(4, 1), x=inputs(40, 5, 5))
    sharp = asked(at)
    monkeypatch.setattr(module, "WIDEST", 3)
    assert asked(at)[0] == [4] < sharp[0]
    assert asked(at)[1] > sharp[1]
