"""Every measure of L + w |theta|^2 / 2 against the dense truth of H + w I, on each of its roads."""

import numpy as np
import pytest
import torch

from scalecurv.measures import Curvature, Extremes, GaussNewton, Gradient, Moments, Principal, Rank, Rescaling, Spectrum
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Measure
from scalecurv.problem.problem import Problem
from scalecurv.quantities import CHAIN
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import Dense
from tests.loops import each
from tests.networks import fitted, oracle, problem

W = 0.2
ROUTES = [
    ("relu", "exact"),
    ("relu", "sampled"),
    ("relu", None),
    ("tanh", None),
    ("conv", "generic"),
    ("tied", "generic"),
]


def truth_of(name: str, loss: str = "mse") -> Dense:
    bare, at = oracle(name, loss), problem(name, loss)
    eye = torch.eye(at.num_params, dtype=torch.float64)
    value = bare.loss + W * float((at.theta**2).sum()) / 2
    gradient = bare.gradient + W * at.theta
    return Dense(value, gradient, bare.hessian + W * eye, bare.gauss_newton + W * eye, bare.jacobian)


def asked(measure: Measure, at: Problem) -> dict[str, Estimate]:
    return dict(measure.compute(Evaluation(at)).estimates)


def assert_holds(found: Estimate, value: float) -> None:
    sampled = found.stderr > 0  # of so many 95 % intervals some miss: five standard errors do not
    slack = 1e-9 * abs(value) + (1.5 * found.halfwidth if sampled else 0.0)
    assert found.lower - slack <= value <= found.upper + slack, (found, value)


@each(("name", "route"), ROUTES, loss=["mse", "cross_entropy"])
def test_moments_and_curvature(name: str, route: str | None, loss: str) -> None:
    at, truth = problem(name, loss, weight_decay=W), truth_of(name, loss)
    found = asked(Moments(rtol=0.05, route=route), at) | asked(Curvature(rtol=0.05, route=route), at)
    T, F = truth.trace(), truth.trace_h2()
    assert_holds(found["trace"], T)
    assert_holds(found["trace_h2"], F)
    assert_holds(found["t2_minus_f"], T**2 - F)
    assert_holds(found["scalar_curvature"], truth.curvature)
    assert found["curvature_lower"].value <= truth.curvature <= found["curvature_upper"].value
    exact = route is None or (name == "relu" and route != "generic")
    assert (found["trace"].status is Status.EXACT) == exact
    if exact:
        assert found["trace"].value == pytest.approx(T, rel=1e-12)


@each(route=["generic", "dense"], name=["relu", "tanh"])
def test_gradient_ends_and_spectrum(name: str, route: str) -> None:
    at, truth = problem(name, weight_decay=W), truth_of(name)
    g, H = truth.gradient, truth.hessian
    found = asked(Gradient(), at)
    wanted = {
        "loss": truth.loss,
        "grad_norm": g.norm(),
        "ghg": g @ H @ g,
        "gh2g": (H @ g) @ (H @ g),
        "beta": truth.beta,
    }
    assert {quantity: found[quantity].value for quantity in wanted} == pytest.approx(
        {quantity: float(value) for quantity, value in wanted.items()}, rel=1e-12
    )
    values = torch.linalg.eigvalsh(H)
    ends = asked(Extremes(route=route), at)
    for quantity, value in (("lambda_max", values[-1]), ("lambda_min", values[0])):
        assert_holds(ends[quantity], float(value))
    ritz = Spectrum(route=route).compute(Evaluation(at)).arrays["ritz_nodes"]
    assert values[0] - 1e-9 <= ritz.min() <= ritz.max() <= values[-1] + 1e-9


@each(route=["generic", "dense"], name=["relu", "tanh"])
def test_gauss_newton_and_principal_curvatures(name: str, route: str) -> None:
    at, truth = problem(name, weight_decay=W), truth_of(name)
    found = asked(GaussNewton(route=route), at)
    assert_holds(found["lambda_max_ggn"], float(torch.linalg.eigvalsh(truth.gauss_newton)[-1]))
    assert_holds(found["trace_ggn"], float(truth.gauss_newton.trace()))
    rest = (truth.hessian - truth.gauss_newton).norm() / truth.hessian.norm()
    assert_holds(found["residual_share"], float(rest))
    g, b = truth.gradient, truth.beta
    S = b**0.5 * (truth.hessian - b * torch.outer(g, g @ truth.hessian))
    principal = np.sort(torch.linalg.eigvals(S).real.numpy())
    values = Principal(route=route).compute(Evaluation(at)).arrays["principal_values"]
    assert max(values) == pytest.approx(principal[-1], rel=1e-6)
    assert min(values) == pytest.approx(principal[0], rel=1e-6)


def test_the_rank_of_j_and_what_rescaling_changes_are_the_data_s_own() -> None:
    at, bare = problem("relu", weight_decay=W), problem("relu")
    assert {name: e.value for name, e in asked(Rank(), at).items() if e.status is not Status.NOT_APPLICABLE} == {
        name: e.value for name, e in asked(Rank(), bare).items() if e.status is not Status.NOT_APPLICABLE
    }
    with_it, without = Rescaling().compute(Evaluation(at)), Rescaling().compute(Evaluation(bare))
    smallest = without.estimates["trace_rescaled"].value + W * at.num_params
    assert with_it.estimates["trace_rescaled"].value == pytest.approx(smallest, rel=1e-12)
    assert with_it.estimates["trace_rescaled"].upper == pytest.approx(smallest, rel=1e-12)
    for name, array in without.arrays.items():
        assert np.array_equal(with_it.arrays[name], array), name


def test_the_chain_is_of_the_data_alone() -> None:
    """At an exact fit H = J'J / N + w I has full rank: what bounds the first does not bound the second."""
    bare, at = fitted(), fitted()
    at.weight_decay = W
    assert asked(Curvature(), bare)["chain_1"].status is not Status.NOT_APPLICABLE
    found = asked(Curvature(), at)
    said = {(found[link].status, found[link].method) for link in CHAIN}
    reason = "the chain bounds J'J, to whose eigenvalues weight decay adds"
    assert said == {(Status.NOT_APPLICABLE, reason)}
    lower, K, upper = (found[q].value for q in ("curvature_lower", "scalar_curvature", "curvature_upper"))
    assert lower <= K <= upper
    assert found["curvature_lower"].method == "positive semidefinite: T and lambda_max"
