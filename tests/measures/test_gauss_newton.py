"""The Gauss-Newton side against dense matrices: what is proven holds, what is sampled holds as often as it says."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.measures import Curvature, GaussNewton, Moments
from scalecurv.measures import gauss_newton as module
from scalecurv.measures.evaluation import Evaluation
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.loops import each
from tests.networks import by_products, oracle, problem

NAMES, KINDS = ("relu", "one output", "tanh", "conv", "tied"), ("mse", "cross_entropy")
CASES = [(name, loss) for name in NAMES for loss in KINDS if (name, loss) != ("one output", "cross_entropy")]
EXACT = ("relu", "one output")


def ask(point: Problem, rtol: float = 0.05, max_matvecs: int = 200, seed: int = 0, route: str | None = None) -> dict:
    return dict(GaussNewton(rtol, max_matvecs, route=route).compute(Evaluation(point, seed)).estimates)


def truth_of(name: str, loss: str) -> dict[str, float]:
    G, H = oracle(name, loss).gauss_newton, oracle(name, loss).hessian
    return {
        "trace_ggn": float(G.trace()),
        "lambda_max_ggn": float(torch.linalg.eigvalsh(G)[-1]),
        "residual_share": float((H - G).norm() / H.norm()),
    }


def holds(estimate: Estimate, truth: float) -> bool:
    slack = 1e-12 * abs(truth)
    return estimate.lower - slack <= truth <= estimate.upper + slack


@each(("name", "loss"), CASES[::2])
def test_intervals_hold_the_truth(name: str, loss: str) -> None:
    """Of five seeds proven ones always, sampled ones in all but at most two."""
    truth, found = (
        truth_of(name, loss),
        [ask(problem(name, loss), seed=seed, route=by_products(name)) for seed in range(5)],
    )
    for quantity, number in truth.items():
        held = sum(holds(estimates[quantity], number) for estimates in found)
        assert held == 5 or (held >= 3 and np.isfinite(found[0][quantity].stderr)), quantity
    for estimates in found:
        assert estimates["lambda_max_ggn"].status is Status.CERTIFIED
        assert estimates["lambda_max_ggn"].value == pytest.approx(truth["lambda_max_ggn"], rel=0.01)
        assert estimates["trace_ggn"].value == pytest.approx(truth["trace_ggn"], rel=0.15)
        assert estimates["residual_share"].value == pytest.approx(truth["residual_share"], rel=0.15)
        statuses = {estimates[q].status for q in ("trace_ggn", "residual_share")}
        assert (statuses == {Status.EXACT}) == (name in EXACT)


@pytest.mark.parametrize(("name", "loss"), [case for case in CASES if case[0] in EXACT])
def test_the_euler_bound_is_a_rayleigh_quotient(name: str, loss: str) -> None:
    """Of theta itself, layer by layer, or of weights and biases times their depth: the largest of these."""
    G, point = oracle(name, loss).gauss_newton, problem(name, loss)
    names, directions = list(point.space.shapes), []
    depth = len(names) // 2
    for chosen in range(depth + 1):
        parts = {}
        for i, key in enumerate(names):
            l, is_bias = divmod(i, 2)
            factor = (l + 1 if is_bias else 1) if chosen == depth else float(l >= chosen if is_bias else l == chosen)
            parts[key] = factor * point.model.get_parameter(key).detach()
        directions.append(point.space.flatten(parts))
    quotients = [float(v @ G @ v / (v @ v)) for v in directions]
    bound = ask(point)["euler_bound"]
    assert bound.value == pytest.approx(max(quotients), rel=1e-10)
    assert bound.method == f"one of {depth + 1} directions in which the outputs grow"
    assert bound.value <= truth_of(name, loss)["lambda_max_ggn"]


@pytest.mark.parametrize("name", ["tanh", "conv", "tied"])
def test_outputs_that_do_not_grow_in_proportion_give_no_bound(name: str) -> None:
    bound = ask(problem(name))["euler_bound"]
    assert bound.status is Status.NOT_APPLICABLE
    assert bound.method == "not an MLP of homogeneous activations, or a loss of no known factor"


@pytest.mark.parametrize(("above", "status"), [(1e-10, Status.CERTIFIED), (1e-8, Status.INCONSISTENT)])
def test_a_bound_above_the_interval_is_inconsistent(
    monkeypatch: pytest.MonkeyPatch, above: float, status: Status
) -> None:
    plain = ask(problem("relu"), route="exact")
    bound = plain["lambda_max_ggn"].upper * (1 + above)
    monkeypatch.setattr(module, "euler_bounds", lambda *_: torch.tensor([0.0, bound, 0.0], dtype=torch.float64))
    found = ask(problem("relu"), route="exact")
    assert (found["lambda_max_ggn"].status, found["euler_bound"].value) == (status, bound)
    said = f"; euler_bound {bound:.6g} lies above it" if status is Status.INCONSISTENT else ""
    assert found["lambda_max_ggn"].method == plain["lambda_max_ggn"].method + said
    for field in ("value", "lower", "upper", "confidence"):
        assert getattr(found["lambda_max_ggn"], field) == getattr(plain["lambda_max_ggn"], field)
    for name in ("trace_ggn", "residual_share"):
        assert repr(found[name]) == repr(plain[name])


@pytest.mark.parametrize(("name", "route"), [("relu", "exact"), ("tanh", "generic"), ("tanh", "dense")])
def test_single_precision_is_computed_in_double(name: str, route: str) -> None:
    single = problem(name, "cross_entropy", dtype=torch.float32)
    found, wanted = ask(single, route=route), ask(single.astype(torch.float64), route=route)
    for quantity in ("trace_ggn", "lambda_max_ggn", "euler_bound"):
        assert repr(found[quantity]) == repr(wanted[quantity])
    assert found["residual_share"].value == pytest.approx(wanted["residual_share"].value, rel=1e-6)
    assert found["residual_share"].status is wanted["residual_share"].status


@pytest.mark.parametrize("route", ["generic", "sampled"])
def test_routes_agree_with_the_truth(route: str) -> None:
    truth, found = truth_of("relu", "mse"), ask(problem("relu"), rtol=0.02, max_matvecs=2000, route=route)
    assert holds(found["trace_ggn"], truth["trace_ggn"])
    assert holds(found["residual_share"], truth["residual_share"])
    assert found["trace_ggn"].status is (Status.EXACT if route == "sampled" else Status.CONVERGED)
    assert found["residual_share"].halfwidth < 0.03


def test_what_was_taken_is_counted() -> None:
    """Steps and probes on G, F, and two products for each step and probe on R; by default tr G takes no product."""
    for route, probes in (("generic", 16), (None, 0)):
        evaluation = Evaluation(problem("tanh"))
        Curvature(0.0, 64, route=route).compute(evaluation)
        moments = Moments(0.0, 64, route=route).compute(evaluation).estimates
        F, before = moments["trace_h2"].num_matvecs, evaluation.total_matvecs
        found = GaussNewton(0.0, 64, route=route).compute(evaluation).estimates
        trace, rest = found["trace_ggn"], found["residual_share"]
        assert found["lambda_max_ggn"].num_matvecs == evaluation.gauss_newton.num_matvecs == 8
        assert (trace.num_matvecs, trace.num_samples) == ((8 + probes, probes) if probes else (0, 0))
        assert (trace.status is Status.EXACT) == (not probes)
        assert (rest.num_matvecs, rest.num_samples) == (F + 2 * (4 + 8), 8)
        assert evaluation.total_matvecs == before + 8 + probes + 2 * (4 + 8)


@each(max_matvecs=[24, 64, 200], name=["tanh", "relu"])
def test_a_budget_is_kept(name: str, max_matvecs: int) -> None:
    """Of the measures before it, and as much again."""
    evaluation = Evaluation(problem(name))
    Curvature(0.0, max_matvecs, route="generic").compute(evaluation)
    before = evaluation.total_matvecs
    found = GaussNewton(0.0, max_matvecs, route="generic").compute(evaluation).estimates
    assert 0 < evaluation.total_matvecs - before <= max_matvecs
    assert all(e.num_matvecs <= 2 * max_matvecs for e in found.values())


def densely(point: Problem, seed: int) -> Evaluation:
    """An evaluation of the tanh network whose products are those of dense matrices: the same numbers, sooner."""
    truth = oracle("tanh")
    H, G = (DenseOperator((A + A.T) / 2, symmetric=True) for A in (truth.hessian, truth.gauss_newton))
    R = DenseOperator(truth.hessian - truth.gauss_newton, symmetric=True)

    def run(point: Problem, make: object, terms: Callable, seed: int, blocks: Sequence[range]) -> list:
        operator = {GaussNewtonOperator: G, ResidualOperator: R}.get(make, H)  # type: ignore[call-overload]
        return [(terms(operator, seed, ids), len(ids)) for ids in blocks]

    evaluation = Evaluation(point, seed, run)
    evaluation.hessian = CountingOperator(H)
    evaluation.gauss_newton = CountingOperator(G)
    evaluation.residual = CountingOperator(R)
    return evaluation


def test_calibration() -> None:
    """Over seeds that nobody chose, with seven probes of G and three of R."""
    point = problem("tanh")
    truth = truth_of("tanh", "mse")
    measure = GaussNewton(0.05, 24, route="generic")
    found = [measure.compute(densely(point, seed)).estimates for seed in range(150)]
    for name in ("trace_ggn", "residual_share"):
        held = np.mean([holds(estimates[name], truth[name]) for estimates in found])
        assert held >= 0.91, (name, held)
