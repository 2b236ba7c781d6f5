"""The errors of the moments and of the curvature mean what they say after the rule that stops them."""

from functools import cache

import pytest

from scalecurv.estimate import Estimate, Status
from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.linalg import hutchinson
from scalecurv.linalg.dense import DenseOperator
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from tests.calibration import assert_calibrated
from tests.networks import oracle, problem

SEEDS = range(100)


@cache
def truths(name: str, loss: str) -> dict[str, float]:
    dense = oracle(name, loss)
    H, g = dense.hessian, dense.gradient
    T, F, Hg = float(H.trace()), float((H**2).sum()), H @ g
    K = scalar_curvature_of(T, T * T, F, 1 / (1 + float(g @ g)), float(g @ Hg), float(Hg @ Hg))
    return {"trace": T, "trace_h2": F, "scalar_curvature": K, "t2_minus_f": T * T - F}


@cache
def found(name: str, loss: str, rtol: float, max_matvecs: int) -> dict[str, list[Estimate]]:
    """Both measures at every seed; the terms come from the dense Hessian, which is what they cost least from."""
    point, H = problem(name, loss), DenseOperator(oracle(name, loss).hessian)
    results: dict[str, list[Estimate]] = {}
    for seed in SEEDS:
        evaluation = Evaluation(
            point, seed, lambda _, kind, s, blocks: [(hutchinson.terms(H, s, ids), len(ids)) for ids in blocks]
        )
        for measure in (Moments(rtol, max_matvecs), Curvature(rtol, max_matvecs)):
            for quantity, estimate in measure.ask(evaluation).estimates.items():
                results.setdefault(quantity, []).append(estimate)
    return results


@pytest.mark.parametrize("quantity", ["trace", "trace_h2", "scalar_curvature", "t2_minus_f"])
@pytest.mark.parametrize(
    ("name", "loss", "rtol", "max_matvecs"),
    [("relu", "mse", 0.4, 1500), ("relu", "mse", 1e-9, 300), ("batch norm", "cross_entropy", 0.3, 700)],
)
def test_calibrated(name: str, loss: str, rtol: float, max_matvecs: int, quantity: str) -> None:
    assert_calibrated(found(name, loss, rtol, max_matvecs)[quantity], truths(name, loss)[quantity])


def test_the_rule_stopped_them() -> None:
    estimates = found("relu", "mse", 0.4, 1500)
    assert {e.status for e in estimates["trace"] + estimates["trace_h2"]} == {Status.CONVERGED}
    assert len({e.num_samples for e in estimates["scalar_curvature"]}) > 1
    assert {e.status for e in found("relu", "mse", 1e-9, 300)["trace"]} == {Status.BUDGET}
    assert {e.num_samples for e in found("relu", "mse", 1e-9, 300)["trace"]} == {300 - 1 - 75}
