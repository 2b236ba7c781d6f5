"""Sharpness at a distance: below the largest rise of the loss, and the mean over steps against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn

from scalecurv.errors import Misuse
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.hutchinson import controlled_square_estimate
from scalecurv.measures import Sharpness
from scalecurv.measures.ascent import ascents
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.sharpness import AntitheticTerms
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import losses_at
from scalecurv.statistics.estimate import Estimate, Status
from tests.calibration import assert_calibrated
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, network, problem

RADII = (0.05, 1.0)


def asked(at: Problem, seed: int = 0, **options: object) -> dict[str, Estimate]:
    return dict(Sharpness(**options).compute(Evaluation(at, seed)).estimates)


def product_of_two(w1: float, w2: float, y: float) -> Problem:
    """Return L = (w1 w2 - y)^2 / 2."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    for part, value in zip(model.parameters(), (w1, w2), strict=True):
        part.data.fill_(value)
    return Problem(model, (torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), y, dtype=torch.float64)), "mse")


def kinked(w: float, y: float) -> Problem:
    """Return L = (max(w, 0) - y)^2 / 2."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Flatten()).double()
    model[0].weight.data.fill_(w)
    return Problem(model, (torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), y, dtype=torch.float64)), "mse")


def dense_loss(name: str, loss: str, theta: Tensor) -> float:
    model = network(name)
    nn.utils.vector_to_parameters(theta, model.parameters())
    x, y = data(loss)
    f = model(x).detach()
    each = (f - y).pow(2).sum(1) / 2 if loss == "mse" else nn.functional.cross_entropy(f, y, reduction="none")
    return float(each.mean())


@each(name=["relu", "tanh"], loss=["mse", "cross_entropy"], options=[{}, {"batch_size": 2}])
def test_the_loss_elsewhere_is_the_loss_of_a_model_moved_there(name: str, loss: str, options: dict[str, int]) -> None:
    at = problem(name, loss, weight_decay=0.3, **options)
    draw = torch.Generator().manual_seed(0)
    points = [at.theta + 0.3 * torch.randn(at.num_params, generator=draw, dtype=torch.float64) for _ in range(3)]
    wanted = [dense_loss(name, loss, p) + 0.15 * float(p @ p) for p in points]
    assert losses_at(at, points).tolist() == pytest.approx(wanted, rel=1e-13)


@each(radius=[0.1, 3.0])
def test_of_a_quadratic_both_are_known(radius: float) -> None:
    found = asked(Problem.quadratic(1.0, 5.0, -2.0), radius=radius)
    assert found["sharpness_radius"].value == pytest.approx(2.5 * radius**2, rel=1e-10)
    assert found["sharpness_radius"].upper == math.inf
    assert found["sharpness_sam"].status is Status.NOT_APPLICABLE
    assert found["sharpness_mean"].value == pytest.approx(4.0, rel=1e-9)


@each(name=["relu", "tanh"], loss=["mse", "cross_entropy"], radius=RADII)
def test_the_bound_is_attained_within_the_ball_and_at_least_the_step_of_sam(
    name: str, loss: str, radius: float
) -> None:
    """Projected ascent from several starts finds about as much."""
    at = problem(name, loss)
    found, g = asked(at, radius=radius), dense_at(at).gradient
    sam = dense_loss(name, loss, at.theta + radius * g / g.norm()) - dense_loss(name, loss, at.theta)
    assert found["sharpness_sam"].value == pytest.approx(sam, rel=1e-10)
    bound = found["sharpness_radius"]
    assert bound.status is Status.LOWER_BOUND
    assert bound.value >= found["sharpness_sam"].value * (1 - 1e-9)
    best = climbed(at, radius)
    assert bound.lower <= best * (1 + 1e-9)
    assert bound.value >= (0.95 if radius < 1 else 0.6) * best  # far away there are several maxima


def climbed(at: Problem, radius: float) -> float:
    """Return the largest rise that gradient ascent finds on the sphere, from 3 random starts and along g."""
    draw = torch.Generator().manual_seed(1)
    here, best = float(losses_at(at, [at.theta])[0]), 0.0
    loss = at.loss.total
    for i in range(4):
        d = dense_at(at).gradient if i == 0 else torch.randn(at.num_params, generator=draw, dtype=torch.float64)
        d = radius * d / d.norm()
        for _ in range(80):
            point = (at.theta + d).requires_grad_()
            value = at.scale * loss(at.outputs(point, at.x), at.y)
            (slope,) = torch.autograd.grad(value, point)
            best = max(best, float(value.detach()) - here)
            d = d + 0.3 * radius * slope / slope.norm()
            d = radius * d / d.norm()
    return best


def test_steps_on_which_the_loss_overflows_are_made_shorter() -> None:
    at = product_of_two(1.0, -0.5, 2.0)
    found = asked(at, radius=1e78)
    bound = found["sharpness_radius"]
    assert bound.status is Status.LOWER_BOUND
    assert 1e300 < bound.lower < math.inf
    assert bound.method.endswith(", on radius / 8 as the loss overflows")
    assert str(found["sharpness_sam"]) == "failed"
    assert found["sharpness_sam"].method == "the loss overflows at SAM's step; give a smaller radius"
    huge = asked(at, radius=1e100)["sharpness_radius"]
    assert (huge.value, huge.lower, huge.status) == (0.0, 0.0, Status.LOWER_BOUND)
    assert huge.method == "no step, as the loss overflows at each: give a smaller radius"


def within_errors(at: Problem, sigma: float, truth: float, limit: int) -> float:
    """Check T_sigma from `limit` probes, to 4 of its standard errors; return that error relative to the truth."""
    found = asked(at, sigma=sigma, max_matvecs=2 * limit, rtol=1e-6)["sharpness_mean"]
    assert found.num_samples == limit
    assert abs(found.value - truth) <= 4 * found.stderr
    return found.stderr / abs(truth)


@each(sigma=[0.3, 1.0])
def test_the_mean_of_a_quartic_is_its_closed_form(sigma: float) -> None:
    """E L(w + sigma z) is a polynomial: T_sigma = w1^2 + w2^2 + sigma^2, where T = w1^2 + w2^2."""
    at = product_of_two(1.0, -0.5, 2.0)
    assert dense_at(at).trace() == pytest.approx(1.25)
    assert within_errors(at, sigma, 1.25 + sigma**2, 1024) < 0.04 * sigma


def test_the_mean_sees_a_kink_that_tr_h_does_not() -> None:
    """At w just above a kink H is 1, and steps that cross it meet the jump of the slope."""
    w, y, sigma = 5e-4, 1.0, 1e-3
    at = kinked(w, y)

    def term(z: float) -> float:
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        rises = [(max(w + sign * sigma * z, 0.0) - y) ** 2 / 2 - (w - y) ** 2 / 2 for sign in (1, -1)]
        return density * sum(rises) / sigma**2

    truth = 2 * quad(term, 0, w / sigma)[0] + 2 * quad(term, w / sigma, 12)[0]
    assert truth < -300 * dense_at(at).trace()
    assert within_errors(at, sigma, truth, 1024) < 0.05


def test_intervals_of_the_mean_hold_it() -> None:
    """At 32 probes on a network whose steps cross kinks, against the mean over all of them."""
    at = problem("relu", "mse")
    trace = dense_at(at).trace()
    operator = CountingOperator(HessianOperator(at))
    rows = AntitheticTerms(0.1, float(losses_at(at, [at.theta])[0]))(operator, 0, range(32 * 60))
    found = [controlled_square_estimate(part, trace, "") for part in np.split(rows, 60)]
    assert_calibrated(found, controlled_square_estimate(rows, trace, "").value)


def test_the_error_of_a_sampled_trace_is_in_the_interval() -> None:
    at = problem("tanh", "cross_entropy")
    truth, options = dense_at(at).trace(), {"route": "generic", "max_matvecs": 60, "rtol": 0.2}
    found = [asked(at, seed, **options)["sharpness_mean"] for seed in range(40)]
    assert sum(e.lower <= truth <= e.upper for e in found) >= 33  # fewer: 4e-3
    assert np.std([e.value for e in found]) > 0.005 * truth  # the trace is sampled indeed


@each(sigma=[1e-6, 1e-7])
def test_the_rounding_of_small_steps_is_in_the_interval(sigma: float) -> None:
    at = problem("tanh")
    found, truth = asked(at, sigma=sigma)["sharpness_mean"], dense_at(at).trace()
    assert found.lower <= truth <= found.upper
    assert found.halfwidth > 1e-17 / sigma**2
    wide = asked(Problem(Inner(), data("mse"), "mse"))["sharpness_mean"]
    assert wide.halfwidth > 0.01  # float32 inside: ulps of 1e-7 over 1e-6
    assert wide.status is Status.BUDGET


class Inner(nn.Module):
    """A model that computes in float32 inside."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network("tanh")

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).float().double()


def test_numbers_out_of_range_are_refused() -> None:
    for name in ("radius", "sigma"):
        for value in (0.0, -1.0, math.inf, math.nan):
            message = f"^{name} is {value}; it must be positive and finite, in units of the parameters$"
            with pytest.raises(Misuse, match=message):
                Sharpness(**{name: value})
        with pytest.raises(Misuse, match=f"^{name} is '1', of type str; give a number$"):
            Sharpness(**{name: "1"})


def test_a_small_memory_holds_a_smaller_space() -> None:
    evaluation = Evaluation(problem("tanh"))
    found = ascents(evaluation, 0.05, 20, memory=74 * 8 * 4 * 4)["sharpness_radius"]
    assert found.num_matvecs == 4
    assert 0 < found.value <= asked(problem("tanh"))["sharpness_radius"].value * (1 + 1e-9)
