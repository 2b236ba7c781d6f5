"""Trace and squared norm from terms: inside the tolerance or out of products, layer by layer, at the price they say."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import deflation
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import layer_slices, oracle, problem
from tests.quadratic import quadratic


def strategy(measure: Moments) -> Strategy:
    return Strategy(measure.rtol, measure.max_matvecs, measure.memory, measure.route)


STRUCTURED = [("relu", "mse", "mean"), ("relu", "cross_entropy", "sum"), ("one output", "mse", "sum")]


@pytest.mark.parametrize("column", [0, 1])
def test_neither_stops_without_the_other(column: int) -> None:
    """Terms of exactly 10, but for noise of size 4 in those of one of the two."""
    point, measure = problem("tanh"), Moments(0.05, 1000, route="generic")
    rows = (
        np.full((1000, 2 + 2 * len(point.space.layers)), 10.0)
        - deflation(Evaluation(point), strategy(measure)).terms.known
    )
    rows[:, column] += 4 * np.random.default_rng(0).standard_normal(1000)

    def run(
        problem: Problem, make: object, terms: object, seed: int, blocks: Sequence[range]
    ) -> list[tuple[np.ndarray, int]]:
        return [(rows[list(ids)], len(ids)) for ids in blocks]

    found = measure.compute(Evaluation(point, 0, run)).estimates
    assert {e.status for e in found.values()} == {Status.CONVERGED}
    assert {e.num_samples for e in found.values()} == {256}
    quiet = found[("trace", "trace_h2")[1 - column]]
    assert (quiet.value, quiet.stderr) == (pytest.approx(10), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("rtol", [0.5, 0.1, 0.02])
def test_both_are_inside_when_it_stops(rtol: float) -> None:
    found = Moments(rtol, 4000, route="generic").compute(Evaluation(problem("relu", "cross_entropy"))).estimates
    truth = oracle("relu", "cross_entropy")
    assert {e.status for e in found.values()} == {Status.CONVERGED}
    assert all(e.halfwidth <= rtol * e.value for e in found.values())
    assert found["trace"].num_samples == found["trace_h2"].num_samples
    assert abs(found["trace"].value - truth.trace()) <= 2 * rtol * truth.trace()
    assert abs(found["trace_h2"].value - truth.trace_h2()) <= 2 * rtol * truth.trace_h2()


@each(("name", "loss", "reduction"), STRUCTURED, seed=range(4))
def test_layers_of_a_sampled_square(name: str, loss: str, reduction: str, seed: int) -> None:
    """Traces exact, squares from the products that the whole took; their sum is the plain mean of the whole."""
    truth, layers = oracle(name, loss, reduction), layer_slices(name)
    findings = Moments(0.0, 300, route="sampled").compute(Evaluation(problem(name, loss, reduction), seed))
    assert {component for _, component in findings.parts} == set(layers)
    F = findings.estimates["trace_h2"]
    for layer, part in layers.items():
        assert findings.parts["trace", layer].value == pytest.approx(truth.trace(part), rel=1e-10)
        square = findings.parts["trace_h2", layer]
        assert abs(square.value - truth.trace_h2(part)) <= 5 * square.stderr + 1e-10 * truth.trace_h2()
        assert square.num_samples == F.num_samples == 300 - 8 - 75 - 8
    assert abs(F.value - truth.trace_h2()) <= 5 * F.stderr + 1e-10 * truth.trace_h2()
    total = sum(findings.parts["trace_h2", layer].value for layer in layers)
    assert abs(total - truth.trace_h2()) <= 0.05 * truth.trace_h2()


@pytest.mark.parametrize("name", ["tanh", "partly"])
def test_layers_of_the_generic_route_sum_to_the_whole(name: str) -> None:
    """tr H_ll sum to tr H term by term: |ARz|^2 by layer holds also what of ARz falls into the space."""
    findings = Moments(0.0, 100, route="generic").compute(Evaluation(problem(name), 2))
    layers = layer_slices(name)
    whole = findings.estimates["trace"]
    assert sum(findings.parts["trace", layer].value for layer in layers) == pytest.approx(whole.value, rel=1e-10)
    assert max(findings.parts["trace", layer].stderr for layer in layers) > 0
    squares = sum(findings.parts["trace_h2", layer].value for layer in layers)
    assert squares == pytest.approx(findings.estimates["trace_h2"].value, rel=0.2)


def test_the_price_is_steps_check_and_probes() -> None:
    evaluation = Evaluation(problem("relu", "cross_entropy"), 1)
    measure = Moments(0.0, 200, route="sampled")
    found = measure.compute(evaluation)
    F = found.estimates["trace_h2"]
    taken = deflation(evaluation, strategy(measure))
    steps = taken.num_matvecs
    assert taken.krylov.space.basis.shape == (74, steps - 3)  # beside the products of three pilots
    assert F.num_matvecs == steps + F.num_samples == evaluation.total_matvecs  # no probes would prove an rtol of 0
    assert {e.num_matvecs for (q, _), e in found.parts.items() if q == "trace_h2"} == {steps + F.num_samples}
    generic = Moments(0.0, 200, route="generic").compute(Evaluation(problem("relu", "cross_entropy"), 1)).estimates
    assert {e.num_matvecs for e in generic.values()} == {steps + F.num_samples}


def test_a_loose_tolerance_is_met_by_a_proof_from_four_probes() -> None:
    evaluation = Evaluation(problem("relu"), 1)
    found = Moments(0.2, 1000, route="sampled").compute(evaluation).estimates["trace_h2"]
    assert (found.status, found.num_samples) == (Status.CERTIFIED, 4)
    assert np.isnan(found.stderr)
    assert found.method == "deflated hutchinson, proven interval"
    assert found.lower <= oracle("relu").trace_h2() <= found.upper
    assert found.num_matvecs == evaluation.total_matvecs  # the check too, if it had to be asked


def test_a_flat_loss_has_moments_three() -> None:
    point = problem("partly", "mse")
    with torch.no_grad():
        point.theta.zero_()  # f = 0 and every ReLU is off: only the last bias bends
    found = Moments(0.05, route="generic").compute(Evaluation(point)).estimates
    assert found["trace"].value == pytest.approx(3, rel=0.1)
    assert found["trace_h2"].value == pytest.approx(3, rel=0.1)
    assert {e.status for e in found.values()} == {Status.CONVERGED}
    K = Curvature(0.1, route="generic").compute(Evaluation(point)).estimates["t2_minus_f"]
    assert abs(K.value - (9 - 3)) <= 2 * K.halfwidth < 1.5


def signs(*eigenvalues: np.ndarray) -> Problem:
    A = symmetric(np.concatenate(eigenvalues))
    return quadratic(A, torch.ones(len(A), dtype=A.dtype) / 100)


def trace_of(point: Problem, rtol: float) -> Estimate:
    return Moments(rtol, 4000, route="generic").compute(Evaluation(point)).estimates["trace"]


def test_a_trace_of_about_zero_is_known_absolutely_and_says_so() -> None:
    """Eigenvalues +-x: a tenth of their absolute sum stands in for the trace."""
    spread = np.linspace(0.5, 1.5, 40)
    found = trace_of(signs(spread, -spread), 0.5)
    assert found.status is Status.CONVERGED
    assert found.lower <= 0 <= found.upper
    assert found.halfwidth > 0.5 * abs(found.value)  # relative to itself it is unknown
    said = float(found.method.removeprefix("deflated hutchinson, absolute tolerance "))
    assert said == pytest.approx(0.5 * 0.1 * 80, rel=0.15)
    assert found.halfwidth <= said * 1.05


def test_a_negative_trace_is_known_relatively() -> None:
    found = trace_of(signs(-np.linspace(0.5, 1.5, 60), np.linspace(0.1, 0.2, 20)), 0.05)
    assert found.status is Status.CONVERGED
    assert found.method == "deflated hutchinson"
    assert found.value == pytest.approx(-60 + 3, rel=0.1)
    assert found.halfwidth <= 0.05 * 57 * 1.1
