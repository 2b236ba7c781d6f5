"""Brackets that hold K everywhere, and the effective ranks, each from the numbers that it says it is made of."""

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.geometry.bounds import general_bracket, psd_bracket
from scalecurv.geometry.ratios import joint_status
from scalecurv.measures import Curvature, Extremes, Moments
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import krylov_run
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import Dense, dense_at
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import CASES, by_products, data, fitted, oracle, problem
from tests.quadratic import quadratic

PSD, GENERAL = "positive semidefinite: T, lambda_max and the Ritz space", "any signs: T, F and the ends of the spectrum"


def ends(truth: Dense) -> tuple[float, float]:
    values = np.linalg.eigvalsh(truth.hessian.numpy())
    return float(values[0]), float(values[-1])


@each(
    ("name", "loss", "reduction", "dtype"),
    [(*case, torch.float64) for case in CASES] + [(*case, torch.float32) for case in CASES[::6]],
)
def test_the_bracket_holds_k(name: str, loss: str, reduction: str, dtype: torch.dtype) -> None:
    point = problem(name, loss, reduction, dtype=dtype)
    truth = dense_at(point)
    found = Curvature(0.05, 400, route=by_products(name)).compute(Evaluation(point)).estimates
    lower, upper = found["curvature_lower"], found["curvature_upper"]
    assert lower.value <= truth.curvature <= upper.value
    for end in (lower, upper):
        assert end.value == end.lower == end.upper
        assert (end.method, end.num_samples, np.isnan(end.stderr)) == (GENERAL, 0, True)
        assert end.confidence <= 0.998 + 1e-12
    assert lower.status is upper.status
    assert lower.status is not Status.EXACT  # an end of the spectrum is in it


def exact_bracket(truth: Dense) -> tuple[float, float]:
    """What the bounds are at the dense numbers themselves."""
    T, F, (low, high) = truth.trace(), truth.trace_h2(), ends(truth)
    return general_bracket((T, T), (F, F), (low, high), truth.beta)


@each(("name", "loss", "reduction"), [case for case in CASES if case[0] == "relu"])
def test_the_bracket_is_that_of_the_dense_numbers(name: str, loss: str, reduction: str) -> None:
    """With everything known to 1e-9 nothing of the interval is left but the bound."""
    found = Curvature(1e-9, 1000, route="exact").compute(Evaluation(problem(name, loss, reduction))).estimates
    truth = oracle(name, loss, reduction)
    wanted = exact_bracket(truth)
    assert found["curvature_lower"].value == pytest.approx(wanted[0], rel=1e-6)
    assert found["curvature_upper"].value == pytest.approx(wanted[1], rel=1e-6)
    assert found["curvature_lower"].status is Status.CERTIFIED
    assert found["curvature_lower"].confidence == pytest.approx(0.998)
    high = ends(truth)[1]
    assert found["effective_rank"].value == pytest.approx(truth.trace() / high, rel=1e-8)
    assert found["effective_rank"].confidence == pytest.approx(0.999)
    assert found["participation_ratio"].value == pytest.approx(truth.trace() ** 2 / truth.trace_h2(), rel=1e-10)
    assert found["participation_ratio"].status is Status.EXACT


def test_at_an_exact_fit_the_bracket_is_that_of_a_positive_semidefinite_hessian() -> None:
    point = fitted()
    truth = dense_at(point)
    found = Curvature(1e-9, route="exact").compute(Evaluation(point)).estimates
    (_, high), T = ends(truth), truth.trace()
    wide = psd_bracket((T, T), (high, high), truth.beta)
    lower, upper = found["curvature_lower"].value, found["curvature_upper"].value
    assert wide[0] <= lower <= truth.curvature <= upper <= wide[1]
    assert {found[f"curvature_{end}"].method for end in ("lower", "upper")} == {PSD}
    assert found["curvature_upper"].confidence == pytest.approx(0.999 - 1e-4)  # the bound on R has its own chance
    assert found["scalar_curvature"].value == pytest.approx(truth.trace() ** 2 - truth.trace_h2(), rel=1e-10)


def test_one_affine_layer_is_positive_semidefinite_on_any_slope() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        point = Problem(nn.Sequential(nn.Linear(6, 3)).double(), data("mse"), "mse")
    truth = dense_at(point)
    found = Curvature(1e-9).compute(Evaluation(point)).estimates
    (_, high), T = ends(truth), truth.trace()
    assert truth.beta < 0.7
    wanted = psd_bracket((T, T), (high, high), truth.beta)
    assert (found["curvature_lower"].value, found["curvature_upper"].value) == pytest.approx(wanted, rel=1e-8)
    assert wanted[0] <= truth.curvature <= wanted[1]


@pytest.mark.parametrize("route", ["exact", "sampled", "generic"])
def test_parts_and_prices(route: str) -> None:
    """Each number rests on estimates that the other measures give, to the bit."""
    measure = Curvature(0.1, 300, route=route)
    found = measure.compute(Evaluation(problem("relu"), 2)).estimates
    ends = Extremes(0.1, 300, route="generic").compute(Evaluation(problem("relu"), 2)).estimates
    if route == "exact":
        moments = Moments(0.1, 300, route=route).compute(Evaluation(problem("relu"), 2)).estimates
        T, F = moments["trace"], moments["trace_h2"]
        spectrum = (ends["lambda_min"].lower, ends["lambda_max"].upper)  # the outer ends
        bracket = general_bracket(
            (T.lower, T.upper), (F.lower, F.upper), spectrum, gradient_facts(Evaluation(problem("relu"), 2)).beta
        )
        assert (found["curvature_lower"].value, found["curvature_upper"].value) == bracket
        assert found["effective_rank"].value == T.value / ends["lambda_max"].value
        assert found["effective_rank"].num_matvecs == ends["lambda_max"].num_matvecs
        assert found["participation_ratio"].num_matvecs == 0
    steps = ends["lambda_max"].num_matvecs
    cost = found["scalar_curvature"].num_matvecs - 1
    bracket = found["curvature_lower"].num_matvecs
    assert max(cost, steps) + 1 <= bracket == found["curvature_upper"].num_matvecs <= cost + steps + 1
    if route != "exact":
        assert found["participation_ratio"].num_matvecs == cost


def test_no_effective_rank_where_the_largest_eigenvalue_may_be_zero() -> None:
    """A negative definite quadratic: T / lambda_max means nothing, T^2 / F does."""
    A = symmetric(-np.linspace(1, 2, 30))
    found = Curvature(0.2, 1000, route="generic").compute(Evaluation(quadratic(A, A[0]))).estimates
    assert found["effective_rank"].status is Status.NOT_APPLICABLE
    assert found["effective_rank"].method == "T / lambda_max: the denominator may be zero"
    truth = float(A.trace()) ** 2 / float((A**2).sum())
    ratio = found["participation_ratio"]
    assert ratio.lower <= truth <= ratio.upper
    assert ratio.value == pytest.approx(truth, rel=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_a_sampled_bracket_is_wider_than_the_exact_one(seed: int) -> None:
    truth = oracle("relu")
    low, high = exact_bracket(truth)
    evaluation = Evaluation(problem("relu"), seed)
    found = Curvature(0.1, 100, route="generic").compute(evaluation).estimates
    assert found["curvature_lower"].value <= low <= truth.curvature <= high <= found["curvature_upper"].value
    assert found["curvature_lower"].confidence == pytest.approx(1 - 2 * 0.05 - 2 * 1e-3)
    assert found["curvature_lower"].num_matvecs == evaluation.total_matvecs


@each(
    ("name", "route"),
    [("relu", "exact"), ("relu", "sampled"), ("relu", "generic"), ("tanh", "generic")],
    rtol=[0.3, 0.1, 1e-3],
)
def test_a_bracket_is_known_as_well_as_its_parts_and_pays_once(name: str, route: str, rtol: float) -> None:
    """Of what T, F and the ends of the spectrum share, the Lanczos run, every product is counted once."""
    seen = set()
    for seed in range(3):
        evaluation, measure = Evaluation(problem(name), seed), Curvature(rtol, 100, route=route)
        found = measure.compute(evaluation).estimates
        parts, krylov = scalar_curvature(evaluation, measure.strategy), krylov_run(evaluation, measure.strategy)
        steps, ends = krylov.space.num_matvecs, krylov.ends
        for end in (found["curvature_lower"], found["curvature_upper"]):
            assert end.num_matvecs == parts.matvecs_with(steps) + 1 == evaluation.total_matvecs
            assert end.status is joint_status(parts.trace, parts.trace_h2, ends.largest, ends.smallest)
        for part in (parts.trace, parts.trace_h2):
            inside = part.within(rtol) or "absolute" in part.method
            assert part.status is Status.EXACT or (part.status is not Status.BUDGET) == inside
        seen.add(found["curvature_lower"].status)
    if rtol == 1e-3:
        assert seen == {Status.CERTIFIED if route == "exact" else Status.BUDGET}
    else:
        several = {Status.CONVERGED, Status.CERTIFIED}  # as few probes may prove, or more sample
        known = {"generic": {Status.CONVERGED}, "exact": {Status.CERTIFIED}}.get(route, several)
        assert seen - {Status.BUDGET} <= known
        assert seen & known
