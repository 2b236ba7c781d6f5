"""The cost of a checkpoint: budgets by hand, never less than what is spent, and when sharing it out pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from scalecurv.analysis import Identity, Request, records_of
from scalecurv.engine.cost import SERVICE, START, Cost, cost_of
from scalecurv.measures import DEFAULT, measures_named
from scalecurv.measures.cost import MeasureCost
from scalecurv.measures.evaluation import run_here
from scalecurv.measures.gradient import Gradient
from scalecurv.measures.peak import LIBRARIES, peak_of
from scalecurv.measures.route import Budget
from scalecurv.problem.problem import Problem
from tests.networks import problem

MOST = 1000
PROBES = MOST - 8 - 100 - 8  # what is left to probes of a budget, by hand
P = 74  # parameters of the networks: one product each where H is written out


def asked(*names: str, most: int = MOST, **options: Any) -> Request:
    return Request(measures_named(names, max_matvecs=most, **options))


@pytest.mark.parametrize(
    ("name", "request_", "matvecs", "probes"),
    [
        ("tanh", asked("gradient"), 8, 0),
        ("tanh", asked("rank"), 8, 0),
        ("tanh", asked("extremes", route="generic"), 108, 0),  # no probes are drawn: 8 and the basis
        ("tanh", asked("extremes", most=40), 40, 0),
        ("tanh", asked("moments", route="generic"), MOST, PROBES),
        ("relu", asked("moments", route="exact"), MOST - PROBES, 0),  # tr H and tr H^2 are sums
        ("relu", asked("moments", route="generic"), MOST, PROBES),
        ("relu", asked("moments", route="sampled"), MOST, PROBES),
        ("tanh", asked(*DEFAULT, route="generic"), MOST, PROBES),  # whoever asks first, one budget
        ("relu", asked(*DEFAULT, route="exact"), 116, 0),
        ("tanh", asked("spectrum", route="generic"), 8 + MOST, 0),
        ("tanh", asked("principal", route="generic"), 2 * MOST, PROBES + MOST // 2),
        ("tanh", asked("gauss_newton", route="generic"), 2 * MOST, PROBES + MOST // 2),
        ("tanh", asked(*DEFAULT, "spectrum", "principal", route="generic"), 3 * MOST, PROBES + MOST // 2),
        ("relu", asked(*DEFAULT, "principal", "gauss_newton", route="exact"), 116 + 2 * MOST, MOST),
        ("tanh", asked("extremes"), 8 + P, 0),
        ("tanh", asked("extremes", most=P), 8 + P, 0),
        ("relu", asked("moments"), 8, 0),  # of structure
        ("tanh", asked(*DEFAULT), 8 + P, 0),
        ("relu", asked(*DEFAULT, "spectrum"), 8 + P, 0),
        ("tanh", asked(*DEFAULT, "spectrum", "principal", "gauss_newton"), 8 + P + P, 0),
        ("relu", asked("gauss_newton"), 8 + P, 0),
        ("relu", asked("gauss_newton", route="dense"), 8 + 2 * P, 0),
        ("tanh", asked("moments", most=64), 64, 64 - 8 - 16 - 8),
    ],
)
def test_the_budgets_are_those_by_hand(name: str, request_: Request, matvecs: int, probes: int) -> None:
    cost = cost_of(problem(name), request_)
    assert (cost.matvecs, cost.probes) == (matvecs, probes)
    assert Budget(MOST).probes == PROBES
    assert cost.seconds > 0


def spent(at: Problem, request: Request) -> tuple[int, int]:
    """Hessian products in all, and of probes, that an analysis takes."""
    of_probes = 0

    def run(
        problem: Problem, make: Any, terms: Any, seed: int, blocks: Sequence[range]
    ) -> list[tuple[np.ndarray, int]]:
        nonlocal of_probes
        done = run_here(problem, make, terms, seed, blocks)
        of_probes += sum(products for _, products in done)
        return done

    _, total = records_of(at, request, Identity("", "", "float64"), run_terms=run)
    return total, of_probes


@pytest.mark.parametrize("most", [64, 300])
@pytest.mark.parametrize("name", ["tanh", "relu"])
@pytest.mark.parametrize("route", [None, "generic"])
def test_no_more_is_spent(name: str, route: str | None, most: int) -> None:
    request = asked("gradient", "extremes", "moments", most=most, route=route, rtol=1e-9)
    cost = cost_of(problem(name), request)
    total, of_probes = spent(problem(name), request)
    assert 0 < total <= cost.matvecs
    assert of_probes <= cost.probes
    if cost.probes:
        assert of_probes >= 32  # the run finds all of so small a space before the budget of probes is spent


def test_no_more_is_spent_by_a_measure_alone() -> None:
    for measure in ("extremes", "moments", "principal", "gauss_newton"):
        request = asked(measure, most=64, route="generic", rtol=1e-9)
        total, of_probes = spent(problem("tanh"), request)
        cost = cost_of(problem("tanh"), request)
        assert (total <= cost.matvecs, of_probes <= cost.probes) == (True, True), measure


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_what_is_written_out_is_known_to_the_product(name: str) -> None:
    request = asked(*DEFAULT, "spectrum", "principal", "gauss_newton")
    for at in (problem(name), problem(name, dtype=torch.float32)):
        total, of_probes = spent(at, asked(*DEFAULT, "spectrum", "principal", "gauss_newton"))
        of_the_jacobian = spent(at, asked("rank"))[0]
        assert of_probes == 0
        assert 0 <= cost_of(at, request).matvecs - (total - of_the_jacobian) <= 8


def test_a_split_pays_when_it_saves_more_than_a_start() -> None:
    """100 products of 0.1 s each over two: 5 s are saved; over one, or without probes, nothing."""
    cost = Cost(matvecs=150, probes=100, seconds=0.1, bytes=0)
    assert cost.worth_splitting(2)
    assert not cost.worth_splitting(1)
    assert not Cost(150, 0, 1e9, 0).worth_splitting(8)
    for members in (2, 3, 8):
        even = START / (100 * (1 - 1 / members))
        assert Cost(150, 100, even * 1.01, 0).worth_splitting(members)
        assert not Cost(150, 100, even * 0.99, 0).worth_splitting(members)


@pytest.mark.parametrize(
    ("checkpoints", "workers", "members", "seconds"),
    [
        (1, 1, 1, 150 * 0.5),
        (5, 1, 1, 5 * 150 * 0.5),
        (5, 2, 1, 3 * 150 * 0.5),  # three rounds
        (5, 8, 1, 150 * 0.5),
        (1, 4, 4, (50 + 25) * 0.5),
        (5, 4, 2, 3 * (50 + 50) * 0.5),
        (3, 5, 2, 2 * (50 + 50) * 0.5),  # the fifth stands by
        (2, 1, 4, 2 * (50 + 25) * 0.5),
    ],
)
def test_rounds_of_checkpoints_take_their_time(checkpoints: int, workers: int, members: int, seconds: float) -> None:
    assert Cost(150, 100, 0.5, 0).eta(checkpoints, workers, members) == pytest.approx(seconds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_worker_holds_the_model_the_data_and_what_the_largest_measure_takes(dtype: torch.dtype) -> None:
    at = problem("tanh").astype(dtype)
    model, data = at.num_params * 8, (at.x.numel() + at.y.numel()) * at.dtype.itemsize
    for request in (asked("moments", route="generic"), asked("gradient"), asked("moments", memory=5000)):
        peaks = [peak_of(at, measure) - LIBRARIES for measure in request.measures]
        assert cost_of(at, request).bytes == SERVICE + model + data + max(peaks)
    written = cost_of(at, asked("moments")).bytes  # H is written out
    assert written >= SERVICE + 64 * P * P
    assert cost_of(at, asked("gradient")).bytes < cost_of(at, asked("moments", route="generic")).bytes


def test_a_measure_is_priced_by_itself() -> None:
    """A measure that nobody else knows: its own products are added, of shared ones the most counts."""

    @dataclass(frozen=True)
    class Odd(Gradient):
        def cost(self, problem: Problem) -> MeasureCost:
            return MeasureCost(own=7, own_probes=3, shared=50, shared_probes=20, written_out=P, bytes=1 << 40)

    moments = asked("moments", most=64, route="generic").measures
    for measures, matvecs, probes in (((Odd(),), 7 + 50 + P, 23), ((Odd(), Odd(), *moments), 14 + 64 + P, 6 + 32)):
        cost = cost_of(problem("tanh"), Request(measures))
        assert (cost.matvecs, cost.probes) == (matvecs, probes)
        assert cost.bytes > 1 << 40
