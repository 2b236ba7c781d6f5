"""tr H^2 from pairs and common probes: intervals hold through the stopping rule, and the road is taken by rule."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from scalecurv.measures import Curvature, Moments
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments import square
from scalecurv.measures.moments.from_pairs import Draws, square_from_pairs
from scalecurv.measures.moments.square import draws_of, residual_share, square_of, square_with_layers
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from scalecurv.statistics.stopping import Tolerance
from tests.nearly_fitted import nearly_fitted, truth
from tests.networks import data, network, problem

SAMPLED = Strategy(0.2, 1000, 2 << 30, "sampled", 40)
SEEDS = {"relu": 120, "conv": 60}
RISK = 1e-3  # that a right interval falls out of its band; benchmarks/calibrate.py has more seeds


@pytest.mark.parametrize("name", ["relu", "conv"])
def test_intervals_hold_through_the_stopping_rule(name: str) -> None:
    """F where draws double until the tolerance is met, and K from a given number of samples."""
    point, dense = nearly_fitted(name), truth(name)
    held = dict.fromkeys(("F", "K"), 0)
    for seed in range(SEEDS[name]):
        evaluation = Evaluation(point, seed)
        tolerance = Tolerance(0.4)
        by_draws = square_from_pairs(evaluation, SAMPLED, Draws(4096, False), tolerance.terms_needed)
        assert by_draws is not None
        F, K = by_draws[0], scalar_curvature(evaluation, SAMPLED).K
        assert F.halfwidth <= 0.4 * F.value
        assert K.method == "40 weighted samples in pairs, 8 probes of H and G"
        held["F"] += F.lower <= dense.trace_h2() <= F.upper
        held["K"] += K.lower <= dense.curvature <= K.upper
    assert all(count >= binom.ppf(RISK, SEEDS[name], 0.95) for count in held.values()), held


def test_the_proven_interval_of_few_draws_always_holds() -> None:
    for name in ("relu", "conv"):
        point, dense = nearly_fitted(name, weight_decay=0.0), truth(name)
        for seed in range(25):
            found = square_of(Evaluation(point, seed), replace(SAMPLED, from_samples=16), None, lambda F: 0.0)
            assert found.method.endswith("proven interval")
            assert found.lower <= dense.trace_h2() <= found.upper


def test_layers_and_weight_decay_and_sums() -> None:
    """The same draws whatever is added to the loss: values differ by what is known."""
    w = 0.5
    plain, summed = nearly_fitted("relu"), nearly_fitted("relu", reduction="sum")
    decayed = nearly_fitted("relu", weight_decay=w)
    found, more, large = (
        Moments(0.2, route="sampled", from_samples=40).compute(Evaluation(point, 3)).by_component
        for point in (plain, decayed, summed)
    )
    T, P = found["trace", ""].value, plain.num_params
    assert more["trace_h2", ""].value == pytest.approx(found["trace_h2", ""].value + 2 * w * T + w * w * P, rel=0.05)
    assert large["trace_h2", ""].value == pytest.approx(60**2 * found["trace_h2", ""].value)
    H = truth("relu").hessian + w * torch.eye(P, dtype=torch.float64)
    for layer, rows in plain.space.layers.items():
        part = more["trace_h2", layer]
        assert abs(part.value - float((H[rows] ** 2).sum())) < 4 * part.stderr
    total = sum(found["trace_h2", layer].value for layer in plain.space.layers)
    assert total == pytest.approx(found["trace_h2", ""].value)


def test_a_sub_sample_s_own_curvature_is_another_number() -> None:
    """At a minimum the gradient of a sub-sample is far too long: its K is wrong, and that from samples is not."""
    point = at_its_minimum()
    sub = Evaluation(point.of_some(torch.arange(100)))
    K, own = (scalar_curvature(at, Strategy(0.01, 1000, 2 << 30)).K for at in (Evaluation(point), sub))
    found = scalar_curvature(Evaluation(point), replace(SAMPLED, from_samples=100)).K
    assert K.status is Status.EXACT
    assert found.lower <= K.value <= found.upper
    assert found.halfwidth < 0.2 * K.value
    assert own.value < 0.2 * K.value


def at_its_minimum() -> Problem:
    """Return a linear regression at its minimum, with noise of size 10 in its targets."""
    x, noise = data("mse", num_data=400)
    model = torch.nn.Sequential(torch.nn.Linear(6, 3)).double()
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(400, 1, dtype=x.dtype)], 1), 10 * noise).solution
    with torch.no_grad():
        model[0].weight.copy_(solution[:-1].T)
        model[0].bias.copy_(solution[-1])
    return Problem(model, (x, 10 * noise), "mse")


def test_where_h_is_far_from_g_h_is_deflated_and_the_method_says_so() -> None:
    evaluation = Evaluation(problem("relu", "mse"))
    far = replace(SAMPLED, from_samples=16)
    point = nearly_fitted("relu", off=30.0)
    share, norms = residual_share(Evaluation(point)), truth("relu", 30.0)
    R = norms.hessian - norms.gauss_newton
    assert share == pytest.approx(float(R.norm() / norms.hessian.norm()), rel=0.5)
    assert share > square.SMALL
    for seed in range(3):
        found = square_of(Evaluation(point, seed), SAMPLED, None, Tolerance(0.2).terms_needed)
        assert found.method.startswith("deflated hutchinson")
        assert found.method.endswith(f"of all samples as |H - G| is {residual_share(Evaluation(point, seed)):.2f} |H|")
    assert far.sample_of(evaluation.problem) is None  # it has fewer samples than that


def test_a_loss_without_a_factor_takes_all_samples() -> None:
    x, y = data("mse", num_data=60)
    point = Problem(network("relu"), (x, y), lambda f, y: ((f - y) ** 2).sum(1))
    assert draws_of(point, SAMPLED) is None
    found = square_of(Evaluation(point), SAMPLED, None, Tolerance(0.2).terms_needed)
    assert found.method.endswith("of all samples as loss <lambda> has no known factor")


def test_without_being_asked_draws_are_tried_where_data_is_large_and_deflation_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point, free = nearly_fitted("conv"), Strategy(0.3, 1000, 2 << 30, "sampled")
    wanted = Tolerance(0.3).terms_needed
    assert draws_of(point, free) is None  # 60 samples
    plain = square_of(Evaluation(point), free, None, wanted)
    monkeypatch.setattr(square, "MANY", 60)
    monkeypatch.setattr(square, "draws_of", lambda *_: Draws(4096, False))
    assert square_of(Evaluation(point), free, None, wanted).method == plain.method  # deflation is cheap
    monkeypatch.setattr(square, "DEAR", 0)
    taken = square_with_layers(Evaluation(point), free, None, wanted)
    assert "weighted samples in pairs" in taken.whole.method
    assert taken.layers is not None
    sharp = replace(free, rtol=1e-4)
    left = square_of(Evaluation(point), sharp, None, Tolerance(1e-4).terms_needed)
    assert left.method.startswith("deflated hutchinson")  # the first draws promise no end


def test_the_number_of_draws_is_a_rule_on_sizes() -> None:
    small, large = nearly_fitted("relu"), nearly_fitted("conv")
    assert draws_of(small, SAMPLED) == Draws(40, True)
    generic, poor = replace(SAMPLED, route="generic", from_samples=None), replace(SAMPLED, max_matvecs=40)
    for point, strategy, reason in (
        (small, generic, "the route is generic"),
        (small, poor, "max_matvecs leaves no common probes"),
        (nearly_fitted("conv", memory=1000), SAMPLED, "memory holds no rows of samples"),
    ):
        assert draws_of(point, strategy) is None
        assert square.obstacle(point, strategy) == reason
    assert square.obstacle(small, SAMPLED) == ""
    assert Draws(400, False).ends == (32, 64, 128, 256, 400)
    assert large.num_params == 36


def test_the_budget_is_kept_and_the_bracket_comes_from_samples() -> None:
    evaluation = Evaluation(nearly_fitted("conv"), 2)
    found = Curvature(1e-6, 100, route="sampled", from_samples=40).compute(evaluation).estimates
    assert evaluation.total_matvecs <= 100
    assert found["scalar_curvature"].status is Status.BUDGET
    low, high = found["curvature_lower"].value, found["curvature_upper"].value
    assert low <= truth("conv").curvature <= high
    assert np.isfinite([low, high]).all()
