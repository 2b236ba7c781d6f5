"""Scalar curvature at a point on a slope: what it is made of, and what decides when it stops."""

import numpy as np
import pytest

from scalecurv.estimate import Status
from scalecurv.geometry.curvature_estimate import scalar_curvature_estimate
from scalecurv.linalg import hutchinson
from scalecurv.linalg.dense import DenseOperator
from scalecurv.measures import Curvature
from scalecurv.measures.evaluation import Evaluation
from tests.networks import CASES, oracle, problem


@pytest.mark.parametrize(("name", "loss", "reduction"), CASES[::4])
def test_both_quantities_come_from_the_same_terms(name: str, loss: str, reduction: str) -> None:
    truth = oracle(name, loss, reduction)
    g, Hg = truth.gradient, truth.hessian @ truth.gradient
    rows = hutchinson.terms(DenseOperator(truth.hessian), 6, range(74))
    slope = scalar_curvature_estimate(rows, 1 / (1 + float(g @ g)), float(g @ Hg), float(Hg @ Hg))
    level = scalar_curvature_estimate(rows, 1.0, 0.0, 0.0)
    found = Curvature(0.0, 100).ask(Evaluation(problem(name, loss, reduction), 6)).estimates
    for quantity, expected in (("scalar_curvature", slope), ("t2_minus_f", level)):
        assert found[quantity].value == pytest.approx(expected.value, rel=1e-9)
        assert found[quantity].stderr == pytest.approx(expected.stderr, rel=1e-9)


def test_curvature_decides_and_its_companion_says_whether_it_converged() -> None:
    """Terms so small that the exact part 2 b^2 |Hg|^2 makes up K, and T^2 - F is noise."""
    rows = 1e-3 * np.random.default_rng(0).standard_normal((1000, 2))
    evaluation = Evaluation(
        problem("relu"), 0, lambda _, kind, seed, blocks: [(rows[list(ids)], len(ids)) for ids in blocks]
    )
    found = Curvature(0.1, 1000).ask(evaluation).estimates
    assert found["scalar_curvature"].status is Status.CONVERGED
    assert found["t2_minus_f"].status is Status.BUDGET
    assert {e.num_samples for e in found.values()} == {32}


def test_few_products_give_an_honest_budget() -> None:
    found = Curvature(1e9, 16).ask(Evaluation(problem("relu"))).estimates
    assert {e.status for e in found.values()} == {Status.BUDGET}  # 11 terms say nothing about their own spread
    assert {e.num_samples for e in found.values()} == {11}
