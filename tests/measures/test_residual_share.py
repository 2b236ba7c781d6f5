"""How far from interpolation: nothing at a fit or of a linear model, everything that both intervals allow elsewhere."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gauss_newton import residual_share, share_of
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, fitted, mlp, oracle, problem


def share(point: Problem, route: str | None = None, rtol: float = 0.05, max_matvecs: int = 1000) -> Estimate:
    return residual_share(Evaluation(point), Strategy(rtol, max_matvecs, 1 << 30, route))


@each(reduction=["mean", "sum"], loss=["mse", "cross_entropy"])
def test_by_structure_it_is_exact(loss: str, reduction: str) -> None:
    truth, found = oracle("relu", loss, reduction), share(problem("relu", loss, reduction))
    wanted = float((truth.hessian - truth.gauss_newton).norm() / truth.hessian.norm())
    assert (found.status, found.num_matvecs) == (Status.EXACT, 0)
    assert found.value == pytest.approx(wanted, rel=1e-10)


@each(route=[None, "generic", "sampled", "dense"])
def test_a_fit_leaves_nothing(route: str | None) -> None:
    assert 0 <= share(fitted(), route).upper <= 1e-12


@pytest.mark.parametrize("off", [1e-4, 1e-2])
def test_it_grows_with_the_residual(off: float) -> None:
    """R is linear in the residuals, and H is G up to them."""
    truth = dense_at(fitted(off))
    wanted = float((truth.hessian - truth.gauss_newton).norm() / truth.hessian.norm())
    assert wanted == pytest.approx(off * share(fitted(1e-3)).value / 1e-3, rel=0.1)
    assert share(fitted(off)).value == pytest.approx(wanted, rel=1e-8)


@each(route=[None, "exact", "generic", "sampled", "dense"], loss=["mse", "cross_entropy"])
def test_a_linear_model_has_none(loss: str, route: str | None) -> None:
    """At any loss: H = G."""
    found = share(Problem(nn.Sequential(nn.Linear(6, 3)).double(), data(loss), loss), route)
    assert found.lower == 0 <= found.value < 1e-14
    assert found.upper <= 2e-14


@each(("phi", "route"), [(nn.ReLU, None), (nn.Tanh, "generic"), (nn.Tanh, None)], zero=[True, False])
def test_without_a_hessian_there_is_no_share(phi: type[nn.Module], zero: bool, route: str | None) -> None:
    """All weights 0 without a bias: J is 0, and H is 0 where the residuals are; else it is R alone."""
    model = nn.Sequential(nn.Linear(6, 4, bias=False), phi(), nn.Linear(4, 3, bias=False)).double()
    for p in model.parameters():
        p.data.zero_()
    x, y = data("mse")
    found = share(Problem(model, (x, torch.zeros_like(y) if zero else y), "mse"), route)
    if phi is nn.Tanh and not zero:
        assert found.lower <= 1 <= found.upper
        return
    said = "the Hessian is 0" if phi is nn.ReLU else "tr H^2 may be 0"
    assert (found.status, found.method) == (Status.NOT_APPLICABLE, said)


def test_a_budget_too_small_to_tell_h_from_0_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Estimate(1.0, 1.0, -1.0, 3.0, 0.95, 3, 24, "deflated hutchinson", Status.BUDGET)
    monkeypatch.setattr("scalecurv.measures.gauss_newton.scalar_curvature", lambda *_: SimpleNamespace(trace_h2=whole))
    found = share(problem("tanh"), "generic")
    assert (found.status, found.lower, found.upper, found.method) == (Status.BUDGET, 0, math.inf, "tr H^2 may be 0")
    assert math.isnan(found.value)


@pytest.mark.parametrize("name", ["tanh", "tied"])
def test_it_is_asked_for_to_within_rtol_of_one(name: str) -> None:
    for rtol in (0.3, 0.05):
        found = share(problem(name), "generic", rtol, 4000)
        assert found.status is Status.CONVERGED
        assert found.halfwidth <= rtol
        assert found.method == f"deflated hutchinson, absolute tolerance {rtol:.2g}"


def estimate(value: float, lower: float, upper: float, confidence: float = 0.95, stderr: float = 0.5) -> Estimate:
    return Estimate(value, stderr, lower, upper, confidence, 8, 8, "by hand", Status.BUDGET)


@pytest.mark.parametrize(("lower", "low"), [(1.0, 0.25), (-1.0, 0.0)])
def test_the_quotient_of_two_intervals(lower: float, low: float) -> None:
    found = share_of(estimate(4.0, lower, 9.0), estimate(9.0, 4.0, 16.0, 0.99))
    assert (found.value, found.lower, found.upper) == (2 / 3, low, 1.5)
    assert found.confidence == pytest.approx(0.94)
    assert found.stderr == pytest.approx(0.5 / (2 * 9 * 2 / 3))
    assert (found.num_samples, found.method, found.status) == (8, "deflated hutchinson", Status.BUDGET)


def test_the_quotient_of_nothing_has_no_error_to_speak_of() -> None:
    found = share_of(estimate(0.0, 0.0, 0.0, stderr=0.0), estimate(9.0, 4.0, 16.0))
    assert (found.value, found.lower, found.upper) == (0, 0, 0)
    assert math.isnan(found.stderr)
    assert share_of(estimate(1, 1, 1, 0.3), estimate(1, 1, 1, 0.3)).confidence == 0


def test_an_outside_residual_of_other_layers_counts() -> None:
    """A deep network, where most of R lies off the diagonal blocks."""
    model = mlp(partial(nn.LeakyReLU, 0.3), (6, 4, 4, 4, 3)).double()
    point = Problem(model, data("mse"), "mse")
    truth = dense_at(point)
    wanted = float((truth.hessian - truth.gauss_newton).norm() / truth.hessian.norm())
    assert share(point).value == pytest.approx(wanted, rel=1e-10)
    assert np.isnan(share(point).stderr)
