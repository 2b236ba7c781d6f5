"""Roads to K that meet: where K is rounding alone, where squares vanish, where the first road has an error bar."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.measures import Principal
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.noise import CANCELLING, cancelled, rounding
from scalecurv.measures.principal.cross_check import CONFIDENCE, ROUNDING, _slack, compared
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import at_confidence
from scalecurv.statistics.stopping import FIRST_LOOK
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import problem
from tests.quadratic import quadratic

ROADS = ("scalar_curvature_convex", "sectional_mean")


def one_sample(seed: int, size: float = 1.0) -> Problem:
    """A linear model of one sample: H = (x, 1)(x, 1)', along the gradient, so that K = 0 on any slope."""
    rng = torch.Generator().manual_seed(seed)
    model, x = nn.Sequential(nn.Linear(5, 1)).double(), size * torch.randn(1, 5, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=torch.float64))
    return Problem(model, (x, torch.zeros(1, 1)), "mse")


@each(size=[1e-3, 1.0, 1e4], seed=range(4), route=["exact", "dense"])
def test_no_alarm_where_k_is_nothing_but_rounding(route: str, seed: int, size: float) -> None:
    found = Principal(route=route).compute(Evaluation(one_sample(seed, size))).estimates
    assert all(found[road].status is not Status.INCONSISTENT for road in ROADS)
    assert all(found[road].lower <= 0 <= found[road].upper for road in ROADS)


@pytest.mark.parametrize("scale", [1e-80, 1e-120, 1e-160])
def test_no_alarm_where_squares_vanish(scale: float) -> None:
    A = scale * symmetric(np.array([3.0, 2, 1, -1, 0.5, 0.25, 0, 0, 0, 0]))
    for seed, route in itertools.product(range(4), ("generic", "dense")):
        point = quadratic(A, torch.ones(10, dtype=torch.float64))
        found = Principal(route=route).compute(Evaluation(point, seed)).estimates
        assert all(found[road].status is not Status.INCONSISTENT for road in ROADS)


def test_the_slack_holds_what_single_precision_does() -> None:
    evaluation = Evaluation(problem("relu", dtype=torch.float32))
    strategy = Principal(route="exact").strategy
    found, noise = scalar_curvature(evaluation, strategy), rounding(evaluation)
    beta = gradient_facts(evaluation, double=True).beta
    T, F, along = found.trace.value, found.trace_h2.value, gradient_facts(evaluation, double=True).slope
    of_products = 2 * (abs(T) + beta * abs(along.uhu)) * noise.trace + noise.of_square(F)
    cancelling = T * T + F + 2 * (abs(T * along.uhu) + along.across + along.uhu**2)
    assert of_products > 0
    wanted = beta * (of_products + ROUNDING * 2.0**-23 * cancelling)
    assert _slack(evaluation, strategy, found) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("matvecs", [24, 100])
def test_a_handful_of_terms_claims_nothing(matvecs: int) -> None:
    for seed in range(6):
        A = symmetric(np.linspace(-1, 2, 12), seed)
        found = Principal(0.5, matvecs, route="generic").compute(Evaluation(quadratic(A, A[0]), seed)).estimates
        assert {found[road].status for road in ROADS} == {Status.BUDGET}
        assert (found["sectional_mean"].lower, found["sectional_mean"].upper) == (-np.inf, np.inf)


def test_the_first_road_has_an_error_bar_of_its_own() -> None:
    """At 95 % it misses now and then: the verdict takes it at the confidence of the second."""
    sampled = Estimate(10.0, 1.0, 8.0, 12.0, 0.95, 40, 40, "", Status.CONVERGED)
    quoted = replace(Estimate.enclosed(13.0, 12.9, 13.1, "road", Status.CONVERGED), num_samples=FIRST_LOOK)
    wide = replace(quoted, lower=12.8, upper=13.2)
    assert compared(quoted, wide, sampled).status is Status.CONVERGED
    assert compared(quoted, wide, replace(sampled, stderr=float("nan"))).status is Status.INCONSISTENT
    far = replace(wide, lower=29.0, upper=31.0)
    assert compared(quoted, far, sampled).status is Status.INCONSISTENT
    at = at_confidence(sampled, CONFIDENCE)
    assert 5 < at.halfwidth < 7  # Student's 5.7 and 2.02 at 39 degrees
    assert (at.value, at.confidence) == (10.0, CONFIDENCE)


def test_what_cancels_is_exact_no_longer() -> None:
    exact = Estimate.exact(1e-10, "sum")
    found = cancelled(exact, 1.0)
    assert found.status is Status.CERTIFIED
    assert found.halfwidth == pytest.approx(CANCELLING)
    assert cancelled(exact, 1e-6) is exact  # 4e-21 of 1e-10
    assert cancelled(exact.with_status(Status.BUDGET), 1.0).halfwidth == 0


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_the_mean_curvature_of_a_line_is_inside_its_interval(size: float) -> None:
    """sqrt(beta) beta |x|^2: T - u'Hu is 0, and all that is left of 1 digit in many."""
    for seed, route in itertools.product(range(4), ("exact", "dense")):
        point = one_sample(seed, size)
        found = Principal(route=route).compute(Evaluation(point)).estimates
        squared = float((point.x**2).sum()) + 1
        residual = float(point.outputs(point.theta, point.x))
        beta = 1 / (1 + residual**2 * squared)
        truth = beta**1.5 * squared
        mean = found["mean_curvature"].widened(1e-9 * truth)  # nobody sees it: it may be called exact
        assert mean.lower <= truth <= mean.upper
        assert found["ricci_gradient"].lower <= 0 <= found["ricci_gradient"].upper
