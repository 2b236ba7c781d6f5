"""What an evaluation remembers, where terms are run, and what a product counts as."""

import gc
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from scalecurv.linalg import hutchinson
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.measures import Curvature, Extremes, GaussNewton, Moments, Principal
from scalecurv.measures.evaluation import Evaluation, Make, Terms, blocks_of, run_here
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from tests.dense import dense_at
from tests.loops import each
from tests.networks import oracle, problem


@each(
    ("count", "blocks"),
    [
        (1, [(0, 1)]),
        (4, [(0, 4)]),
        (7, [(0, 4), (4, 7)]),
        (16, [(0, 4), (4, 8), (8, 16)]),
        (32, [(0, 4), (4, 8), (8, 16), (16, 32)]),
        (33, [(0, 4), (4, 8), (8, 16), (16, 32), (32, 33)]),
        (100, [(0, 4), (4, 8), (8, 16), (16, 32), (32, 48), (48, 64), (64, 80), (80, 96), (96, 100)]),
    ],
)
def test_blocks_are_the_looks_and_then_of_one_size(count: int, blocks: list[tuple[int, int]]) -> None:
    assert blocks_of(count) == [range(*ends) for ends in blocks]


@each(counts=[(100,), (4, 8, 16, 32, 64, 100), (100, 40), (7, 100)])
def test_terms_are_those_of_the_probes(counts: tuple[int, ...]) -> None:
    evaluation = Evaluation(problem("tanh"), 5)
    for count in counts:
        rows = evaluation.terms(count)
    truth = hutchinson.terms(DenseOperator(oracle("tanh").hessian), 5, range(counts[-1]))
    np.testing.assert_allclose(rows, truth, rtol=1e-11)


def test_terms_may_be_run_elsewhere() -> None:
    asked: list[tuple[Make, Terms, int, list[range]]] = []

    def run_terms(
        point: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range]
    ) -> list[tuple[np.ndarray, int]]:
        asked.append((make, terms, seed, list(blocks)))
        return run_here(point, make, terms, seed, blocks)

    evaluation = Evaluation(problem("relu"), 9, run_terms)
    rows = evaluation.terms(70)
    evaluation.terms(64)
    evaluation.terms(128)
    first = [range(4), range(4, 8), range(8, 16), range(16, 32), range(32, 48), range(48, 64), range(64, 70)]
    assert asked == [
        (HessianOperator, hutchinson.terms, 9, first),
        (HessianOperator, hutchinson.terms, 9, [range(i, i + 16) for i in range(64, 128, 16)]),
    ]
    assert evaluation.total_matvecs == 70 + 64
    assert np.array_equal(rows, Evaluation(problem("relu"), 9).terms(70))


def test_other_terms_have_rows_of_their_own() -> None:
    def negative(operator: object, seed: int, ids: Sequence[int]) -> np.ndarray:
        return -hutchinson.terms(operator, seed, ids)  # type: ignore[arg-type]

    evaluation = Evaluation(problem("relu"), 2)
    plain = evaluation.terms(8)
    assert np.array_equal(evaluation.terms(8, negative), -plain)
    assert np.array_equal(evaluation.terms(8), plain)
    assert evaluation.total_matvecs == 16


@pytest.mark.parametrize("route", ["sampled", "generic"])
def test_what_two_measures_share_is_paid_for_once(route: str) -> None:
    """The probes of the longer one, the run, the pilots, and the product with the gradient."""
    moments, curvature = Moments(0.0, 200, route=route), Curvature(0.0, 200, route=route)
    evaluation = Evaluation(problem("relu"), 4)
    cost = moments.compute(evaluation).estimates["trace_h2"].num_matvecs
    assert evaluation.total_matvecs == cost
    found = curvature.compute(evaluation).estimates
    assert repr(found) == repr(curvature.compute(Evaluation(problem("relu"), 4)).estimates)
    assert found["scalar_curvature"].num_matvecs == cost + 1
    ends = (
        Extremes(0.0, 200, route="generic").compute(Evaluation(problem("relu"), 4)).estimates["lambda_max"].num_matvecs
    )
    steps = cost - 134 - 3
    assert steps < ends
    assert evaluation.total_matvecs == cost + 1 + ends - steps  # the run goes on for the bracket


def test_a_later_look_pays_for_its_own_probes_alone() -> None:
    evaluation, costs = Evaluation(problem("tanh"), 4), []
    for rtol in (1e9, 0.1, 1e9, 0.0):
        found = Moments(rtol, 400, route="generic").compute(evaluation).estimates["trace"]
        costs.append(found.num_matvecs)
    assert costs[0] == costs[2] < costs[1] < costs[3]
    before = evaluation.total_matvecs
    Moments(0.1, 400, route="generic").compute(evaluation)
    assert evaluation.total_matvecs == before


def test_the_jacobian_is_in_double_whatever_the_problem() -> None:
    point = problem("relu", dtype=torch.float32)
    jacobian = Evaluation(point).jacobian
    assert jacobian.dtype == torch.float64
    torch.testing.assert_close(jacobian.matmat(torch.eye(74)), dense_at(point).jacobian, rtol=0, atol=1e-12)


def test_a_failed_computation_is_not_remembered() -> None:
    evaluation, divisors = Evaluation(problem("relu")), [0, 2, 4]

    @remembered
    def divided(evaluation: Evaluation, by: str = "first") -> float:
        return 8 / divisors.pop(0)

    with pytest.raises(ZeroDivisionError):
        divided(evaluation)
    assert divided(evaluation) == divided(evaluation, "first") == divided(evaluation, by="first") == 4
    assert divided(evaluation, "second") == 2
    assert divisors == []


def test_spaces_of_one_measure_alone_end_with_it() -> None:
    """Columns of length P that are alive: those of the shared space stay, and of other operators none; no views."""

    def columns() -> int:
        gc.collect()
        alive = [t for t in gc.get_objects() if type(t) is torch.Tensor and t.ndim == 2 and t._base is None]
        return sum(t.shape[1] for t in alive if t.shape[0] == point.num_params)

    point = problem("tanh")
    evaluation = Evaluation(point, 1)
    Curvature(1e-3, 300, route="generic").compute(evaluation)
    held = columns()
    for measure in (Principal, GaussNewton):
        measure(1e-3, 300, route="generic").compute(evaluation)
    assert columns() <= held + 2  # a direction or two, and no basis
