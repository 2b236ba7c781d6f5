"""How small a number may be before its tolerance is taken from what cancels in it."""

import math

import numpy as np
import pytest

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import deflation, difference_floor, settled, trace_floor
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance
from tests.matrices import symmetric
from tests.quadratic import quadratic

MEMORY = 1 << 30


def floor(eigenvalues: np.ndarray, seed: int, memory: int = MEMORY) -> float:
    A = symmetric(eigenvalues)
    evaluation = Evaluation(quadratic(A, A[0]), seed)
    return trace_floor(deflation(evaluation, Strategy(0.01, 1000, memory)))


def test_a_tenth_of_the_absolute_eigenvalues() -> None:
    """One start vector sees their sum to a few percent; a restarted run and a definite one give none."""
    values = np.concatenate([np.linspace(-2, -1, 40), np.linspace(0.5, 1.5, 40)])
    found = np.array([floor(values, seed) for seed in range(20)])
    assert found.mean() == pytest.approx(0.1 * 100, rel=0.05)
    assert np.abs(found / 10 - 1).max() < 0.4
    assert floor(np.linspace(0.5, 1.5, 80), 0) == 0
    assert floor(values, 0, memory=12 * 80 * 8) == 0


def test_a_tenth_of_the_mean_of_what_is_subtracted() -> None:
    assert difference_floor(4.0, 2.0) == pytest.approx(0.3)
    assert difference_floor(-4.0, 2.0) == pytest.approx(0.3)


def test_proven_is_certified_and_sampled_is_converged() -> None:
    def estimate(stderr: float, half: float, status: Status = Status.BUDGET) -> Estimate:
        return Estimate(1.0, stderr, 1 - half, 1 + half, 0.95, 32, 32, "m", status)

    tolerance = Tolerance(0.1)
    assert settled(estimate(math.nan, 0.09), tolerance).status is Status.CERTIFIED
    assert settled(estimate(0.05, 0.09), tolerance).status is Status.CONVERGED
    assert settled(estimate(0.05, 0.11), tolerance).status is Status.BUDGET
    assert settled(estimate(math.nan, 0.11), tolerance).status is Status.BUDGET
    assert settled(estimate(math.nan, 0.0, Status.EXACT), tolerance).status is Status.EXACT
