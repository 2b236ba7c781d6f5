"""Trace and squared norm end inside the tolerance, or say that the products were spent."""

import numpy as np
import pytest
import torch

from scalecurv.estimate import Status
from scalecurv.linalg import hutchinson
from scalecurv.linalg.dense import DenseOperator
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from tests.networks import CASES, oracle, problem


@pytest.mark.parametrize(("name", "loss", "reduction"), CASES[1::3])
def test_the_means_of_the_terms(name: str, loss: str, reduction: str) -> None:
    found = Moments(0.0, 100).ask(Evaluation(problem(name, loss, reduction), 4)).estimates
    rows = hutchinson.terms(DenseOperator(oracle(name, loss, reduction).hessian), 4, range(74))
    assert found["trace"].value == pytest.approx(rows[:, 0].mean(), rel=1e-10)
    assert found["trace_h2"].value == pytest.approx(rows[:, 1].mean(), rel=1e-10)
    assert found["trace"].stderr == pytest.approx(np.std(rows[:, 0], ddof=1) / 74**0.5, rel=1e-10)


@pytest.mark.parametrize("rtol", [0.5, 0.2])
def test_both_are_inside_when_it_stops(rtol: float) -> None:
    found = Moments(rtol, 4000).ask(Evaluation(problem("relu"))).estimates
    assert {e.status for e in found.values()} == {Status.CONVERGED}
    assert all(e.halfwidth <= rtol * e.value for e in found.values())
    samples = found["trace"].num_samples
    assert samples == found["trace_h2"].num_samples == found["trace"].num_matvecs
    assert samples in (32, 64, 128, 256, 512, 1024)


@pytest.mark.parametrize(("noisy", "samples"), [(0, 256), (1, 256)])
def test_neither_stops_without_the_other(noisy: int, samples: int) -> None:
    rows = np.full((1000, 2), 10.0)
    rows[:, noisy] += 4 * np.random.default_rng(0).standard_normal(1000)
    evaluation = Evaluation(
        problem("relu"), 0, lambda _, kind, seed, blocks: [(rows[list(ids)], len(ids)) for ids in blocks]
    )
    found = Moments(0.05, 1000).ask(evaluation).estimates
    assert {e.status for e in found.values()} == {Status.CONVERGED}
    assert {e.num_samples for e in found.values()} == {samples}


def test_a_flat_loss_has_moments_zero() -> None:
    point = problem("partly", "mse")
    with torch.no_grad():
        point.theta.zero_()  # f = 0 and every ReLU is off: only the last bias bends
    found = Moments().ask(Evaluation(point)).estimates
    assert found["trace"].value == pytest.approx(3)
    assert found["trace_h2"].value == pytest.approx(3)
    assert {e.status for e in found.values()} == {Status.CONVERGED}
    K = Curvature().ask(Evaluation(point)).estimates["t2_minus_f"]
    assert K.value == pytest.approx(9 - 3)
