"""Trace and squared norm where structure gives them: exact for the whole and for each layer, whatever the dtype."""

import re
from dataclasses import replace

import pytest
import torch

from scalecurv.errors import Misuse
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import Dense, dense_at
from tests.loops import each
from tests.networks import CASES, data, layer_slices, network, oracle, problem

EXACT = [case for case in CASES if case[0] in ("relu", "one output")]
GENERIC = [case for case in CASES if case[0] not in ("relu", "one output")]


def assert_exact(findings: Findings, truth: Dense, name: str) -> None:
    """The whole and every layer, without a product."""
    layers = layer_slices(name)
    wanted = {("trace", ""): truth.trace(), ("trace_h2", ""): truth.trace_h2()}
    wanted |= {("trace", layer): truth.trace(part) for layer, part in layers.items()}
    wanted |= {("trace_h2", layer): truth.trace_h2(part) for layer, part in layers.items()}
    found = findings.by_component
    assert set(findings.parts) == {key for key in wanted if key[1]}
    assert {key: e.value for key, e in found.items()} == pytest.approx(wanted, rel=1e-10)
    assert {(e.status, e.num_matvecs, e.num_samples) for e in found.values()} == {(Status.EXACT, 0, 0)}
    for quantity in ("trace", "trace_h2"):
        parts = sum(found[quantity, layer].value for layer in layers)
        assert parts == pytest.approx(found[quantity, ""].value, rel=1e-12)


@each(("name", "loss", "reduction"), EXACT, dtype=[torch.float64, torch.float32])
def test_exact_for_relu_networks(name: str, loss: str, reduction: str, dtype: torch.dtype) -> None:
    """In float64 arithmetic even where the weights are single precision."""
    point = problem(name, loss, reduction, dtype=dtype, batch_size=3)
    evaluation = Evaluation(point)
    assert_exact(Moments().compute(evaluation), dense_at(point), name)
    assert evaluation.total_matvecs == 0


def test_the_methods_say_what_was_summed() -> None:
    found = Moments().compute(Evaluation(problem("relu"))).estimates
    assert found["trace"].method == "sum over layers, 3 backward passes"
    assert found["trace_h2"].method == "sum over pairs of samples and layers"


@each(("name", "loss", "reduction"), GENERIC)
def test_no_other_network_passes_for_exact(name: str, loss: str, reduction: str) -> None:
    truth = oracle(name, loss, reduction)
    found = Moments(0.0, 100, route="generic").compute(Evaluation(problem(name, loss, reduction), 4)).by_component
    assert {e.status for e in found.values()} == {Status.BUDGET}
    assert {component for _, component in found} == {"", *layer_slices(name)}
    for (quantity, component), estimate in found.items():
        part = layer_slices(name)[component] if component else slice(None)
        expected = truth.trace(part) if quantity == "trace" else truth.trace_h2(part)
        size = truth.trace_h2() ** 0.5 if quantity == "trace" else truth.trace_h2()
        assert abs(estimate.value - expected) <= 5 * estimate.stderr + 1e-10 * size
        assert estimate.method == "deflated hutchinson"


@each(measure=[Moments(route="exact"), Curvature(route="exact")], name=["tanh", "conv", "tied", "partly", "batch norm"])
def test_exact_is_refused_where_it_is_not(name: str, measure: Moments | Curvature) -> None:
    wanted = "route 'exact' needs an MLP of piecewise-linear activations; leave the route out"
    with pytest.raises(Misuse, match=f"^{re.escape(wanted)}$"):
        measure.compute(Evaluation(problem(name)))


def test_what_is_asked_for_is_what_is_taken() -> None:
    """By default and by `exact` nothing is sampled, by `sampled` the square is, by `generic` both are."""
    point = problem("relu", "cross_entropy")
    statuses = {}
    for route in (None, "exact", "sampled", "generic"):
        found = Moments(0.0, 100, route=route).compute(Evaluation(point)).estimates
        statuses[route] = (found["trace"].status.value, found["trace_h2"].status.value)
    assert statuses == {
        None: ("exact", "exact"),
        "exact": ("exact", "exact"),
        "sampled": ("exact", "budget"),
        "generic": ("budget", "budget"),
    }
    default, exact = (Moments(route=route).compute(Evaluation(point)) for route in (None, "exact"))
    assert repr(default) == repr(exact)


def test_only_the_whole_budget_makes_another_route_worth_it() -> None:
    """Few products are cheaper than the sums over pairs; `exact` insists."""
    point, few = Problem(network("relu"), data("mse", num_data=60), "mse"), Moments(0.5, 24)
    assert_exact(replace(few, route="exact").compute(Evaluation(point)), dense_at(point), "relu")
    assert few.compute(Evaluation(point)).estimates["trace"].status is Status.EXACT
    assert few.compute(Evaluation(point)).estimates["trace_h2"].status is not Status.EXACT
