"""The rank of J in exact arithmetic against dense singular values, and what is said where it is only a bound."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import scalecurv.measures.rank.exact as module
from scalecurv.errors import Misuse
from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.bounds import Bound
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.functional_dimension import decisive_inputs
from scalecurv.measures.rank.outputs import output_seeds
from scalecurv.mlp.layers import homogeneous_mlp
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import NAN, Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, mlp, problem
from tests.piecewise import LEAKY, Shape

MEMORY = 2 << 30
NETS = {
    "shallow": (Shape((4, 6, 2), (nn.ReLU,)), 30),
    "few samples": (Shape((5, 6, 4, 2), (nn.ReLU, LEAKY)), 6),
    "no biases": (Shape((3, 5, 4, 2), (LEAKY, nn.ReLU), (False,) * 3), 25),
    "some biases": (Shape((4, 5, 3, 3), (nn.ReLU, nn.ReLU), (False, True, False)), 20),
    "deep": (Shape((3, 4, 3, 4, 3, 2), (nn.ReLU, LEAKY, nn.ReLU, LEAKY)), 40),
    "linear": (Shape((4, 3, 4, 3), (nn.Identity, nn.Identity)), 20),
    "one layer": (Shape((4, 3)), 3),
}


def net(shape: Shape, num_data: int, seed: int = 0, zero_inputs: int = 0) -> Problem:
    """Weights and inputs of few binary digits: what is degenerate is so exactly."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = shape.build().double()
        x = torch.randint(-32, 33, (num_data, shape.widths[0])).double() / 16
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randint(-16, 17, p.shape) / 16)
    x[:, :zero_inputs] = 0
    return Problem(model, (x, torch.zeros(num_data, shape.widths[-1], dtype=torch.float64)), "mse")


def dense_rank(point: Problem, output: str = "logits") -> int:
    J = dense_at(point).jacobian
    if output == "prob":
        p = point.outputs(point.theta, point.x).softmax(1)
        slopes = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        J = (slopes @ J.view(*p.shape, -1)).flatten(0, 1)
    return int(np.linalg.matrix_rank(J.numpy()))


def asked(point: Problem, memory: int = MEMORY, output: str = "logits", seed: int = 0) -> ExactRank:
    found = exact_rank(Evaluation(point, seed), memory, output)
    assert found is not None
    return found


@each(output=["logits", "prob"], zero_inputs=[0, 1], name=NETS)
def test_against_dense_singular_values(name: str, zero_inputs: int, output: str) -> None:
    for seed in range(3):
        point = net(*NETS[name], seed, zero_inputs)
        found = asked(point, output=output)
        assert found.lower == dense_rank(point, output)
        assert all(bound.value >= found.lower for bound in found.bounds.values())
        assert found.estimate.status is Status.CERTIFIED
        assert found.num_samples == found.num_data == point.num_data


@each(name=["tanh", "conv", "tied", "partly", "batch norm", "hardtanh"])
def test_other_models_have_none(name: str) -> None:
    point = (
        problem(name) if name != "hardtanh" else Problem(mlp(partial(nn.Hardtanh, -2, 2)).double(), data("mse"), "mse")
    )
    assert homogeneous_mlp(point) is None
    assert exact_rank(Evaluation(point), MEMORY) is None


def test_it_is_remembered_by_its_arguments() -> None:
    evaluation = Evaluation(problem("relu"))
    first = exact_rank(evaluation, MEMORY)
    assert exact_rank(evaluation, MEMORY, "logits") is first
    assert exact_rank(evaluation, 20_000).num_samples == 3
    assert exact_rank(evaluation, MEMORY, "prob").lower < first.lower
    assert exact_rank(evaluation, MEMORY) is first


def test_probabilities_have_a_symmetry_of_their_own() -> None:
    """3-4-2 with inputs on either side of every fold: P - hidden - (4 weights and a bias), met and so certain."""
    model = net(Shape((3, 4, 2), (nn.ReLU,)), 1, seed=1).model
    x = decisive_inputs(model[0].weight.detach(), model[0].bias.detach(), 0)
    found = asked(Problem(model, (x, torch.zeros(len(x), 2)), "mse"), output="prob")
    assert (found.lower, found.bounds["symmetries"].value, found.chance) == (26 - 4 - 5, 26 - 4 - 5, 0.0)


def test_samples_that_do_not_fit_leave_a_lower_bound() -> None:
    point = problem("relu")
    truth, lowers = dense_rank(point), set()
    for seed in range(6):
        found = asked(point, 20_000, seed=seed)
        e = found.estimate
        assert (found.num_samples, found.num_data, found.chance, found.num_primes) == (3, 7, 1.0, 1)
        assert set(found.bounds) == {"rows", "ceiling", "symmetries"}
        assert e.status is Status.LOWER_BOUND
        assert e.value == e.lower <= truth <= e.upper == 21
        assert e.confidence == 1
        bounds = f"rows 21, ceiling 65, symmetries {54 - found.num_rescalings}"
        assert e.method == f"modulo 1 prime(s), 3 of 7 samples (more --memory takes more); at most {bounds}"
        lowers.add(found.lower)
    assert len(lowers) > 1  # other seeds draw other samples
    assert max(lowers) <= 9
    assert asked(point, 1).num_samples == 1  # at the very least


def test_the_square_of_all_rows_has_to_fit() -> None:
    """Eight rows a sample: J J' of 559 rows takes half of 5 MB, where P random combinations of rows would not fit."""
    found = asked(net(Shape((40, 40, 8), (nn.ReLU,)), 80), 5_000_000)
    assert (found.num_samples, found.lower) == (559 // 8, 559 // 8 * 8)


def test_few_samples_may_show_all_the_rank_there_is() -> None:
    """Four hidden neurons: 13 directions, which 100 of 400 samples meet as well."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = mlp(nn.ReLU, (2, 4, 1)).double()
        x = 4 * torch.randn(400, 2, dtype=torch.float64)
    found = asked(Problem(model, (x, x[:, 0]), "mse"), 4 * 8 * 7 * 7 * 100)
    assert (found.num_samples, found.lower, found.structural_upper, found.chance) == (100, 13, 13, 0.0)
    assert found.estimate.status is Status.CERTIFIED
    assert "100 of 400 samples" in found.estimate.method


@each(
    ("chance", "bounds", "status", "upper", "confidence"),
    [
        (0.0, {"rows": Bound(9), "neurons": Bound(5)}, Status.CERTIFIED, 5, 1.0),
        (1e-3, {"rows": Bound(9)}, Status.CERTIFIED, 5, 0.999),
        (1.1e-3, {"rows": Bound(9), "cells": Bound(7)}, Status.LOWER_BOUND, 7, 1.0),
        (0.5, {"rows": Bound(9), "neurons": Bound(5, unproven=1)}, Status.LOWER_BOUND, 9, 1.0),
    ],
)
def test_what_is_made_of_the_chance(
    chance: float, bounds: dict[str, Bound], status: Status, upper: int, confidence: float
) -> None:
    """A bound that rests on unproven inner ranks is named, and closes no interval."""
    found = ExactRank(5, bounds, chance, 2, 12, 1, 9, 9)
    method = "modulo 2 prime(s); at most " + ", ".join(f"{name} {bound.value}" for name, bound in bounds.items())
    wanted = Estimate(5, NAN, 5, upper, confidence, 0, 0, method, status)
    assert repr(found.estimate) == repr(wanted)
    assert found.structural_upper == min(bound.value for bound in bounds.values())


def test_primes_are_drawn_until_the_chance_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 11, which no bound meets: each prime multiplies the chance, eight are the most."""
    point = problem("relu")
    one = asked(point)
    assert (one.num_primes, one.lower) == (1, 11)
    assert one.structural_upper > 11  # so that only primes can tell
    assert 0 < one.chance <= 1e-3
    monkeypatch.setattr(module, "CHANCE", 1e-5)
    two = asked(point)
    assert (two.num_primes, two.lower) == (2, 11)
    each = two.chance / one.chance
    assert each < one.chance  # minors of J, not of J J'
    for goal, count in ((1e-12, 4), (0.0, 8)):
        monkeypatch.setattr(module, "CHANCE", goal)
        more = asked(point)
        assert (more.num_primes, more.lower) == (count, 11)
        assert more.chance == pytest.approx(one.chance * each ** (count - 1), rel=1e-9)


def test_a_prime_that_divides_is_made_good_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model whose J is diag(p, 1): of rank 1 modulo p."""
    primes = random_primes(8, 0)
    x = torch.diag(torch.tensor([primes[0], 1.0], dtype=torch.float64))
    point = Problem(nn.Sequential(nn.Linear(2, 1, bias=False)).double(), (x, x[:, :1]), "mse")
    assert asked(point, seed=1).lower == 2
    monkeypatch.setattr(module, "CHANCE", 0.0)
    found = asked(point)
    assert (found.lower, found.num_primes, found.chance) == (2, 2, 0.0)


def test_seeds_are_outputs_or_their_differences() -> None:
    assert torch.equal(output_seeds(3, "logits"), torch.eye(3, dtype=torch.float64))
    assert output_seeds(3, "prob").tolist() == [[1, 0, -1], [0, 1, -1]]
    assert output_seeds(1, "logits").tolist() == [[1]]


@pytest.mark.parametrize(
    ("num_outputs", "output", "message"),
    [
        (1, "prob", "one output has no probabilities; leave --output out"),
        (3, "odds", "unknown output 'odds'; choose from logits, prob"),
    ],
)
def test_outputs_without_an_answer_are_misuse(num_outputs: int, output: str, message: str) -> None:
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        output_seeds(num_outputs, output)
