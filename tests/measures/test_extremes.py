"""The ends of the Hessian's spectrum against its dense eigenvalues, in as much memory as there is."""

from functools import cache

import numpy as np
import pytest
import torch

from scalecurv.measures import Extremes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import CASES, problem
from tests.quadratic import quadratic

OUTLIERS = np.concatenate([[-3.0], np.linspace(0, 0.5, 150), [5.0, 8.0, 10.0]])
VECTOR = 8 * len(OUTLIERS)


@cache
def outliers() -> Problem:
    A = symmetric(OUTLIERS)
    return quadratic(A, A[0])


@each(("name", "loss", "reduction"), CASES[::2], dtype=[torch.float64, torch.float32], seed=[1])
def test_the_certificates_hold_the_eigenvalues(
    name: str, loss: str, reduction: str, dtype: torch.dtype, seed: int
) -> None:
    point = problem(name, loss, reduction, dtype=dtype)
    found = Extremes(1e-3, route="generic").compute(Evaluation(point, seed))
    truth = np.linalg.eigvalsh(dense_at(point).hessian)
    for quantity, end in (("lambda_max", truth[-1]), ("lambda_min", truth[0])):
        estimate = found.estimates[quantity]
        assert estimate.status is Status.CERTIFIED
        assert estimate.lower <= end <= estimate.upper
        assert estimate.halfwidth <= 1e-3 * abs(truth).max()
    slack = 32 * torch.finfo(dtype).eps * abs(truth).max()
    nodes, residuals = found.arrays["ritz_values"], found.arrays["ritz_residuals"]
    assert bool((np.abs(nodes[:, None] - truth).min(1) <= residuals + slack).all())
    assert found.arrays["ritz_weights"].sum() == pytest.approx(1, rel=1e-5)


def test_memory_restarts_the_run_and_it_still_certifies() -> None:
    """Eight vectors at a time find the same ends as one space does, at a higher price."""
    whole, limited = (
        Extremes(1e-3, 400, memory, "generic").compute(Evaluation(outliers())) for memory in (1 << 30, 14 * VECTOR)
    )
    assert set(whole.arrays) == {"ritz_values", "ritz_residuals", "ritz_weights"}
    assert set(limited.arrays) == {"ritz_values", "ritz_residuals"}
    for found in (whole, limited):
        for name, end in (("lambda_max", 10), ("lambda_min", -3)):
            estimate = found.estimates[name]
            assert estimate.status is Status.CERTIFIED
            assert estimate.halfwidth <= 1e-3 * abs(estimate.value)
            assert estimate.value == pytest.approx(end, rel=2e-3)
    cost = [found.estimates["lambda_max"].num_matvecs for found in (whole, limited)]
    assert cost[0] == len(whole.arrays["ritz_values"]) < cost[1] <= 100
    assert len(limited.arrays["ritz_values"]) == len(limited.arrays["ritz_residuals"]) == 4  # half is kept


@each(("vectors", "rtol", "certified"), [(8, 0.01, None), (11, 0.01, None), (14, 1e-3, 30), (17, 1e-6, 30)])
def test_restarts_are_never_wrong(vectors: int, rtol: float, certified: int | None) -> None:
    """Over many seeds, whether or not so few vectors can certify."""
    certain = 0
    for seed in range(15):
        evaluation = Evaluation(outliers(), seed)
        findings = Extremes(rtol, 400, vectors * VECTOR, "generic").compute(evaluation)
        assert "ritz_weights" not in findings.arrays
        for name, truth in (("lambda_max", 10.0), ("lambda_min", -3.0)):
            estimate = findings.estimates[name]
            assert estimate.lower - 1e-12 <= truth <= estimate.upper + 1e-12
            assert estimate.num_matvecs == evaluation.total_matvecs <= 100
            certain += estimate.status is Status.CERTIFIED
    assert certified in (None, certain)


def test_a_tolerance_out_of_reach_spends_no_more_than_the_run() -> None:
    evaluation = Evaluation(problem("tanh"))
    found = Extremes(0.0, 80, 12 * 74 * 8, "generic").compute(evaluation).estimates["lambda_max"]
    assert (found.status, found.num_matvecs, evaluation.total_matvecs) == (Status.BUDGET, 20, 20)
    found = Extremes(1e-12, 80, route="generic").compute(Evaluation(problem("tanh"))).estimates["lambda_max"]
    assert (found.status, found.num_matvecs) == (Status.BUDGET, 20)


def test_too_few_products_are_left_to_restart() -> None:
    """4 steps of a run of 6, then 2 to go: nothing to win."""
    found = Extremes(0.01, 24, 1).compute(Evaluation(outliers()))
    assert found.estimates["lambda_max"].num_matvecs == len(found.arrays["ritz_weights"]) == 4
    assert "ritz_weights" not in Extremes(0.01, 32, 1).compute(Evaluation(outliers())).arrays
