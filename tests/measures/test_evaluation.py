"""Shared intermediates are computed once, and nobody's value depends on who else asked."""

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch

from scalecurv.curvature.hessian import HessianOperator
from scalecurv.curvature.jacobian import JacobianOperator
from scalecurv.curvature.problem import Problem
from scalecurv.linalg import hutchinson
from scalecurv.linalg.dense import DenseOperator
from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures import Curvature, Extremes, Gradient, Measure, Moments, Rank, Spectrum
from scalecurv.measures.evaluation import Evaluation, run_here
from tests.networks import oracle, problem

ASKED: tuple[Measure, ...] = (
    Gradient(),
    Extremes(0.01, 80),
    Moments(0.2, 300),
    Curvature(0.2, 200),
    Rank(),
    Spectrum(2, 60),
    Extremes(0.5, 80),
    Extremes(0.01, 40),
    Moments(0.05, 100),
    Rank(memory=3000),
)


@cache
def alone() -> list[str]:
    return [repr(m.ask(Evaluation(problem("relu"), 3))) for m in ASKED]


@pytest.mark.parametrize(
    "order", [*itertools.islice(itertools.permutations(range(10)), 0, None, 600_001), *[(i,) for i in range(10)]]
)
def test_order_and_company_change_no_bit(order: tuple[int, ...]) -> None:
    together = Evaluation(problem("relu"), 3)
    assert {i: repr(ASKED[i].ask(together)) for i in order} == {i: alone()[i] for i in order}


def test_every_product_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against counters of our own, put where the products are taken."""
    taken = {"hessian": 0, "jacobian": 0}

    def counted(operator: type[LinearOperator], name: str, method: str) -> None:
        product = getattr(operator, method)

        def count(self: LinearOperator, V: torch.Tensor) -> torch.Tensor:
            taken[name] += V.shape[1]
            return product(self, V)

        monkeypatch.setattr(operator, method, count)

    counted(HessianOperator, "hessian", "_matmat")
    counted(JacobianOperator, "jacobian", "_matmat")
    counted(JacobianOperator, "jacobian", "_rmatmat")
    evaluation = Evaluation(problem("relu"), 3)
    asked = ASKED[:6]  # one of each
    found = {type(m): m.ask(evaluation) for m in asked}
    cost = {name: e.num_matvecs for findings in found.values() for name, e in findings.estimates.items()}
    probes = max(cost["trace"], cost["t2_minus_f"])
    assert taken["hessian"] == 1 + cost["lambda_max"] + probes + len(found[Spectrum].arrays["ritz_nodes"])
    assert taken["jacobian"] == cost["rank"] == cost["rank_1e2"] == 21  # min(N D, P): the whole side
    assert evaluation.total_matvecs == sum(taken.values())
    assert (
        cost["scalar_curvature"] == cost["t2_minus_f"] + 1 == found[Curvature].estimates["t2_minus_f"].num_samples + 1
    )
    assert cost["ghg"] == cost["gh2g"] == 1
    assert cost["loss"] == cost["grad_norm"] == cost["beta"] == cost["rank_ceiling"] == 0


def test_asking_again_takes_no_product() -> None:
    evaluation = Evaluation(problem("relu"), 3)
    again = [m for m in ASKED if not isinstance(m, Spectrum)]  # which nobody shares
    first = [repr(m.ask(evaluation)) for m in again]
    total = evaluation.total_matvecs
    assert [repr(m.ask(evaluation)) for m in again] == first
    assert evaluation.total_matvecs == total


@pytest.mark.parametrize("counts", [(100,), (32, 64, 100), (100, 40), (7, 100)])
def test_terms_are_those_of_the_probes(counts: tuple[int, ...]) -> None:
    evaluation = Evaluation(problem("tanh"), 5)
    for count in counts:
        rows = evaluation.terms(count)
    truth = hutchinson.terms(DenseOperator(oracle("tanh").hessian), 5, range(count))
    np.testing.assert_allclose(rows, truth, rtol=1e-11)


def test_terms_may_be_run_elsewhere() -> None:
    asked: list[tuple[str, int, list[range]]] = []

    def run_terms(point: Problem, kind: str, seed: int, blocks: Sequence[range]) -> list[tuple[np.ndarray, int]]:
        asked.append((kind, seed, list(blocks)))
        return run_here(point, kind, seed, blocks)

    evaluation = Evaluation(problem("relu"), 9, run_terms)
    rows = evaluation.terms(70)
    evaluation.terms(64)
    evaluation.terms(128)
    assert asked == [
        ("hutchinson", 9, [range(32), range(32, 64), range(64, 70)]),
        ("hutchinson", 9, [range(64, 96), range(96, 128)]),
    ]
    assert evaluation.total_matvecs == 70 + 64
    assert np.array_equal(rows, Evaluation(problem("relu"), 9).terms(70))


def test_the_jacobian_is_in_double_whatever_the_problem() -> None:
    jacobian = Evaluation(problem("relu", dtype=torch.float32)).jacobian
    assert jacobian.dtype == torch.float64
    torch.testing.assert_close(jacobian.matmat(torch.eye(74)), oracle("relu").jacobian, rtol=0, atol=1e-5)


def test_a_failed_computation_is_not_remembered() -> None:
    evaluation = Evaluation(problem("relu"))
    with pytest.raises(ZeroDivisionError):
        evaluation.once("key", lambda: 1 / 0)
    assert evaluation.once("key", lambda: 5) == evaluation.once("key", lambda: 6) == 5
