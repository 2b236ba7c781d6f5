"""K and T^2 - F by every road against the dense shape operator, and errors that are made of the right parts."""

import math
from functools import cache

import pytest
import torch

from scalecurv.measures import Curvature, Moments
from scalecurv.measures.curvature.scalar import ScalarCurvature, scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.moments.known import known_trace
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import Dense, dense_at
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import CASES, data, network, oracle, problem
from tests.quadratic import quadratic

RELU = [case for case in CASES if case[0] in ("relu", "one output")]
GENERIC = [case for case in CASES if case[0] not in ("relu", "one output")][::3]
MEMORY = 1 << 30


def found(point: Problem, route: str, rtol: float = 0.0, max_matvecs: int = 300, seed: int = 0) -> ScalarCurvature:
    return scalar_curvature(Evaluation(point, seed), Strategy(rtol, max_matvecs, MEMORY, route))


@cache
def at(size: float) -> tuple[Problem, Dense]:
    """The relu network with weights of this size: its gradient is small below 1 and large above."""
    model = network("relu")
    with torch.no_grad():
        for p in model.parameters():
            p *= size
    point = Problem(model, data("mse"), "mse")
    return point, dense_at(point)


@each(("name", "loss", "reduction"), RELU, batch_size=[None, 3])
def test_exact(name: str, loss: str, reduction: str, batch_size: int | None) -> None:
    truth = oracle(name, loss, reduction)
    answer = found(problem(name, loss, reduction, batch_size=batch_size), "exact")
    assert answer.K.value == pytest.approx(truth.curvature, rel=1e-10)
    assert answer.difference.value == pytest.approx(truth.trace() ** 2 - truth.trace_h2(), rel=1e-10)
    assert (answer.trace.value, answer.trace_h2.value) == (
        pytest.approx(truth.trace(), rel=1e-10),
        pytest.approx(truth.trace_h2(), rel=1e-10),
    )
    assert {e.status for e in (answer.K, answer.difference)} == {Status.EXACT}
    assert (answer.K.num_matvecs, answer.difference.num_matvecs) == (1, 0)  # that of the gradient


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_small_and_large_gradients(size: float) -> None:
    """beta from about 1 to about 0: every road finds the same K, within its own error."""
    point, truth = at(size)
    assert {0.3: truth.beta > 0.7, 3.0: truth.beta < 0.01}.get(size, True)
    exact = found(point, "exact").K
    assert exact.value == pytest.approx(truth.curvature, rel=1e-9)
    for route in ("sampled", "generic"):
        answer = found(point, route, seed=3)
        for estimate, expected in (
            (answer.K, truth.curvature),
            (answer.difference, truth.trace() ** 2 - truth.trace_h2()),
        ):
            assert 0 < abs(estimate.value - expected) <= 5 * estimate.stderr
            assert estimate.status is Status.BUDGET


@each(("name", "loss", "reduction"), GENERIC)
def test_any_network(name: str, loss: str, reduction: str) -> None:
    truth = oracle(name, loss, reduction)
    answer = found(problem(name, loss, reduction), "generic", seed=2)
    assert abs(answer.K.value - truth.curvature) <= 5 * answer.K.stderr + 1e-9 * abs(truth.curvature)
    assert answer.K.num_samples == 300 - 8 - 75 - 8


def test_the_error_of_k_is_beta_times_that_of_f() -> None:
    """Bit by bit, where the trace is exact; T^2 - F has the error of F itself."""
    point, truth = at(1.0)
    answer = found(point, "sampled")
    F, beta = answer.trace_h2, gradient_facts(Evaluation(point)).beta
    assert beta == pytest.approx(truth.beta)
    assert 0 < F.stderr == answer.difference.stderr
    assert answer.K.stderr == beta * F.stderr
    assert answer.K.halfwidth == pytest.approx(beta * F.halfwidth, rel=1e-9)
    assert answer.K.value == pytest.approx(truth.curvature - beta * (F.value - truth.trace_h2()), rel=1e-9)
    assert (answer.K.num_matvecs, answer.difference.num_matvecs) == (F.num_matvecs + 1, F.num_matvecs)
    assert F.method == "deflated hutchinson, trace as control"
    moments = Moments(0.0, 300, route="sampled").compute(Evaluation(point)).estimates
    assert moments["trace_h2"] == F


def test_the_error_of_a_sampled_trace_is_in_it() -> None:
    """With dK/dT = 2 b T - 2 b^2 g'Hg, beside that of F; T^2 freed of the bias that the square of an estimate has."""
    point, truth = at(1.0)
    strategy = Strategy(0.0, 24, MEMORY, "sampled")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 13)).double()
        y = torch.randn(7, 13, dtype=torch.float64)
    point = Problem(model, (point.x, y), "mse")
    truth, evaluation = dense_at(point), Evaluation(point, 5)
    known = known_trace(evaluation, strategy)
    assert known is not None
    T, answer, facts = known.whole, scalar_curvature(evaluation, strategy), gradient_facts(evaluation)
    F, b = answer.trace_h2, facts.beta
    assert T.stderr > 0
    own = 0.0 if math.isnan(F.stderr) else F.stderr
    slope = 2 * b * T.value - 2 * b**2 * facts.ghg
    assert answer.K.stderr == pytest.approx(math.hypot(b * own, slope * T.stderr), rel=1e-12)
    assert answer.difference.stderr == pytest.approx(math.hypot(own, 2 * T.value * T.stderr), rel=1e-12)
    assert answer.K.halfwidth == pytest.approx(math.hypot(b * F.halfwidth, slope * T.halfwidth), rel=1e-9)
    assert answer.difference.value == pytest.approx(T.value**2 - T.stderr**2 - F.value, rel=1e-12)
    middle = b * (T.value**2 - T.stderr**2 - F.value) + 2 * b**2 * (facts.gh2g - T.value * facts.ghg)
    assert answer.K.value == pytest.approx(middle, rel=1e-12)
    assert answer.K.lower <= truth.curvature <= answer.K.upper
    assert answer.K.confidence == T.confidence


def test_the_generic_road_pays_for_the_gradient_once() -> None:
    evaluation = Evaluation(problem("tanh"), 1)
    answer = scalar_curvature(evaluation, Strategy(0.0, 100, MEMORY, "generic"))
    assert answer.K.num_matvecs == answer.difference.num_matvecs + 1 == evaluation.total_matvecs
    assert answer.difference.num_matvecs == answer.trace.num_matvecs == answer.trace_h2.num_matvecs
    assert answer.K.num_samples == 59
    assert answer.K.method == "deflated hutchinson, u-statistic and jackknife"
    assert {answer.trace.method, answer.trace_h2.method} == {"deflated hutchinson"}


def test_curvature_decides_and_its_companion_says_whether_it_converged() -> None:
    """On a steep slope against a flat direction K is beta small, and 2 b^2 |Hg|^2 makes up most of it."""
    A = symmetric([1.0] * 40 + [-1.0] * 40)
    g = 100 * torch.linalg.eigh(A)[1][:, 0]
    truth = 2 * 10001**-2 * (1e4 - 0.0)
    answer = found(quadratic(A, g), "generic", rtol=0.1, max_matvecs=1000)
    assert answer.K.status is Status.CONVERGED
    assert answer.difference.value == pytest.approx(-80, rel=0.3)
    assert answer.K.value == pytest.approx(truth - 80 / 10001, rel=0.3)


@pytest.mark.parametrize("route", ["sampled", "generic"])
def test_few_products_give_an_honest_budget(route: str) -> None:
    estimates = Curvature(0.0, 24, route=route).compute(Evaluation(problem("relu"))).estimates
    K, difference = estimates["scalar_curvature"], estimates["t2_minus_f"]
    assert {K.status, difference.status} == {Status.BUDGET}  # 7 terms say nothing about their own spread
    assert {K.num_samples, difference.num_samples} == {7}
    assert K.lower <= oracle("relu").curvature <= K.upper
    generous = Curvature(1e9, 24, route="generic").compute(Evaluation(problem("relu"))).estimates
    assert generous["scalar_curvature"].status is Status.BUDGET


@each(seed=range(3), route=["sampled", "generic"])
def test_inside_the_tolerance_when_it_stops(route: str, seed: int) -> None:
    answer = found(problem("relu", "cross_entropy"), route, 0.05, 4000, seed)
    truth = oracle("relu", "cross_entropy")
    assert answer.K.status in (Status.CONVERGED, Status.CERTIFIED)
    assert (answer.K.status is Status.CERTIFIED) == math.isnan(answer.K.stderr)
    assert answer.K.halfwidth <= 0.05 * abs(answer.K.value)
    assert answer.K.value == pytest.approx(truth.curvature, rel=0.1)
    assert answer.K.num_samples <= {"sampled": 256, "generic": 3888}[route]  # a known trace is worth a lot
