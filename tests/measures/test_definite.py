"""When H counts as positive semidefinite, and when the data counts as fitted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.curvature.problem import Problem
from scalecurv.estimate import Estimate
from scalecurv.linalg.extremes import ROUNDING
from scalecurv.measures.definite import positive_semidefinite
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.interpolation import interpolates
from scalecurv.measures.krylov import Krylov, krylov_run
from scalecurv.measures.noise import noise_floor
from scalecurv.measures.plan import Plan
from tests.matrices import symmetric
from tests.networks import CASES, data, fitted, oracle, problem, quadratic

PLAN = Plan(0.01, 1000, 1 << 30)


def definite(point: Problem) -> bool:
    evaluation = Evaluation(point)
    return positive_semidefinite(evaluation, krylov_run(evaluation, PLAN))


def with_lower(krylov: Krylov, lower: float) -> Krylov:
    """The same run, its smallest eigenvalue known to be at least `lower`."""
    smallest = replace(krylov.ends.smallest, lower=lower)
    return replace(krylov, ends=replace(krylov.ends, smallest=smallest))


def affine(loss: str) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Problem(nn.Sequential(nn.Linear(6, 3)).double(), data(loss), loss)


@pytest.mark.parametrize(("name", "loss", "reduction"), CASES[::3])
def test_networks_off_a_fit_are_indefinite(name: str, loss: str, reduction: str) -> None:
    assert float(torch.linalg.eigvalsh(oracle(name, loss, reduction).hessian)[0]) < -1e-3
    assert not definite(problem(name, loss, reduction))


def test_by_what_the_loss_is_made_of() -> None:
    """At an exact fit, and for one affine layer under either loss: whatever the certificate says."""
    for point in (fitted(), affine("mse"), affine("cross_entropy")):
        evaluation = Evaluation(point)
        assert positive_semidefinite(evaluation, with_lower(krylov_run(evaluation, PLAN), -1e9))
    nearly = Evaluation(fitted(1e-3))
    assert not positive_semidefinite(nearly, with_lower(krylov_run(nearly, PLAN), -1e9))


def test_a_loss_of_unknown_structure_makes_no_promise() -> None:
    """One affine layer under minus the squared error is as negative as can be."""
    x, y = data("mse")
    upside_down = replace(
        Problem(nn.Sequential(nn.Linear(6, 3)).double(), (x, y), "mse").loss, name="minus", factor=None
    )
    upside_down = replace(upside_down, total=lambda f, y: -((f - y) ** 2).sum() / 2)
    assert not definite(Problem(nn.Sequential(nn.Linear(6, 3)).double(), (x, y), upside_down))


def test_by_the_certificate() -> None:
    assert definite(quadratic(symmetric(np.linspace(1, 2, 30)), torch.ones(30, dtype=torch.float64)))
    assert not definite(quadratic(symmetric(np.linspace(-0.01, 2, 30)), torch.ones(30, dtype=torch.float64)))


def test_the_margin_is_rounding_in_float64_and_the_noise_floor_in_float32() -> None:
    """The lower bound may lie below zero by the share of |H| that a product may be off."""
    double, single, noisy = (
        Evaluation(problem("tanh", dtype=dtype)) for dtype in (torch.float64, *[torch.float32] * 2)
    )
    noisy.once("noise floor", lambda: Estimate.exact(1e-3, "by hand", 2))
    assert noise_floor(single).value < 2 * ROUNDING * np.finfo(np.float32).eps
    assert noise_floor(noisy).value == 1e-3
    shares = {
        double: 2 * ROUNDING * np.finfo(np.float64).eps,
        single: 2 * ROUNDING * np.finfo(np.float32).eps,
        noisy: 1e-3,
    }
    for evaluation, share in shares.items():
        krylov = krylov_run(evaluation, PLAN)
        size = krylov.ends.largest.upper
        for factor, verdict in ((0.99, True), (1.01, False)):
            bent = with_lower(krylov, -factor * share * size)
            assert bent.ends.norm == size
            assert positive_semidefinite(evaluation, bent) == verdict


@pytest.mark.parametrize("batch_size", [None, 3])
def test_fitted_to_a_millionth_of_the_largest_target(batch_size: int | None) -> None:
    """Of one residual alone, in the first sample or the last; a target of size below 1 counts as 1."""
    for row in (0, -1):
        for scale in (1.0, 1e-3, 100.0):
            point = fitted()
            y = scale * point.y
            model = nn.Sequential(*point.model[:-1], nn.Linear(4, 3).double())
            with torch.no_grad():
                model[-1].weight.copy_(scale * point.model[-1].weight)
                model[-1].bias.copy_(scale * point.model[-1].bias)
            bound = 1e-6 * max(float(y.abs().max()), 1.0)
            for factor, verdict in ((0.9, True), (1.1, False)):
                moved = y.clone()
                moved[row, 1] += factor * bound * (1 if moved[row, 1] < 0 else -1)  # the largest target stays
                asked = Problem(model, (point.x, moved), "mse", batch_size=batch_size)
                assert interpolates(Evaluation(asked)) == verdict
    assert not interpolates(Evaluation(problem("relu", "cross_entropy")))


def test_only_mse_can_be_fitted() -> None:
    """Cross-entropy against the model's own probabilities: no slope, and yet no interpolation."""
    point = problem("relu", "cross_entropy")
    own = point.outputs(point.theta, point.x).softmax(1).detach()
    fitted_classes = Problem(point.model, (point.x, own), "cross_entropy")
    assert float(Evaluation(fitted_classes).problem.y.abs().max()) < 1
    assert not interpolates(Evaluation(fitted_classes))


def test_single_precision_is_judged_in_double() -> None:
    """Residuals of 1e-7 and of 1e-5, as the rounded weights and targets leave them."""
    x, y = fitted().x, fitted().y
    for off, verdict in ((0.0, True), (1e-5, False)):
        asked = Problem(fitted().model, (x, y + off), "mse", dtype=torch.float32)
        assert interpolates(Evaluation(asked)) == verdict


def test_a_sum_that_cancels_is_judged_in_double() -> None:
    """0.1 a - 0.1 b with a and b about 10^4: single precision sees a residual of 10^-5 that is its own."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.1, -0.1]]))
    x = torch.tensor([[10000.3, 10000.0], [10001.7, 10001.1]])
    y = (x.double() @ model[0].weight.double().T).float()
    point = Problem(model, (x, y), "mse")
    assert float((point.outputs(point.theta, point.x) - point.y).abs().max()) > 1e-5
    assert interpolates(Evaluation(point))
