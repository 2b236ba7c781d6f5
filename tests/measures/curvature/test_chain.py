"""The chain of bounds at an exact fit, link by link, through a store; nowhere else."""

from pathlib import Path

import numpy as np
import pytest

from scalecurv.analysis import Identity, Request, records_of
from scalecurv.measures import Curvature, Extremes
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.rank.rank import jacobian_rank
from scalecurv.problem.problem import Problem
from scalecurv.quantities import CHAIN
from scalecurv.results.query import Store, open_store
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import CASES, fitted, problem
from tests.outcomes import outcome, store_of

REASON = "the chain needs mse and an exact fit: max |f - y| <= 1e-6 max(|y|, 1)"
FORMULAS = (
    "T (T - lambda)",
    "T^2 - lambda^2 - (T - lambda)^2 / (r - 1)",
    "(1 - 1/r) T^2",
    "(r - 1) F",
    "(r - 1) lambda T",
    "r (r - 1) lambda^2",
)


def stored(point: Problem, folder: Path, measure: Curvature) -> Store:
    """What a store says of this point."""
    records, total = records_of(point, Request((measure,)), Identity("f1", "t1", "float64"))
    return open_store(store_of(folder, outcome("/a.pt", *records, fingerprint="f1", total_matvecs=total)))


def test_six_links_against_dense_values() -> None:
    """A student that is its teacher: H = J'J / N, of the rank of J."""
    point = fitted()
    assert float((point.outputs(point.theta, point.x) - point.y).abs().max()) < 1e-12
    truth = dense_at(point)
    H = truth.hessian
    assert float((H - truth.jacobian.T @ truth.jacobian / 7).abs().max()) < 1e-12
    T, F, lam = truth.trace(), truth.trace_h2(), float(np.linalg.eigvalsh(H)[-1])
    r = int(np.linalg.matrix_rank(truth.jacobian.numpy()))
    wanted = [
        T * (T - lam),
        T**2 - lam**2 - (T - lam) ** 2 / (r - 1),
        (1 - 1 / r) * T**2,
        (r - 1) * F,
        (r - 1) * lam * T,
        r * (r - 1) * lam**2,
    ]
    assert wanted[0] <= T**2 - F == pytest.approx(truth.curvature)
    assert [T**2 - F, *wanted[1:]] == sorted([T**2 - F, *wanted[1:]])
    evaluation = Evaluation(point)
    found = Curvature(1e-9, route="exact").compute(evaluation).estimates
    steps = Extremes(1e-9, route="generic").compute(Evaluation(point)).estimates["lambda_max"].num_matvecs
    assert evaluation.total_matvecs == steps + 6 + 1  # H - G three times, and Hg; the rank takes none
    assert [found[name].value for name in CHAIN] == pytest.approx(wanted, rel=1e-9)
    assert [found[name].method for name in CHAIN] == [f"{formula}: holds" for formula in FORMULAS]
    sure = jacobian_rank(evaluation, Curvature().memory).confidence
    assert 0.999 < sure < 1
    for name, value in zip(CHAIN, wanted, strict=True):
        estimate = found[name]
        assert estimate.lower <= value * (1 + 1e-12)
        assert estimate.upper >= value * (1 - 1e-12)
        assert (estimate.status, estimate.num_samples) == (Status.CERTIFIED, 0)  # as the rank is
        assert estimate.num_matvecs == steps + 6  # trace and square are exact
        assert estimate.confidence == pytest.approx(0.999 - 1e-4 - (1 - sure), abs=1e-12)  # R too has its chance
        assert np.isnan(estimate.stderr)


@each(rtol=[0.3, 1e-9], route=[None, "exact", "sampled", "generic", "dense"])
def test_links_pay_for_every_product_once(route: str | None, rtol: float) -> None:
    """The Lanczos run is shared by T, F and lambda_max; only Hg, which K needs, is not in."""
    evaluation, measure = Evaluation(fitted(), 1), Curvature(rtol, 100, route=route)
    found = measure.compute(evaluation).estimates
    rank = jacobian_rank(evaluation, measure.memory).num_matvecs
    costs = {found[name].num_matvecs for name in CHAIN}
    assert costs == {evaluation.total_matvecs - 1} == {found["curvature_upper"].num_matvecs - 1 + rank}
    moments = scalar_curvature(evaluation, measure.strategy)
    assert costs == {moments.matvecs_with(krylov_run(evaluation, measure.strategy).space.num_matvecs) + rank + 6}


def test_loose_intervals_leave_links_undecided() -> None:
    found = Curvature(0.3, 24, route="generic").compute(Evaluation(fitted())).estimates
    verdicts = [found[name].method.rpartition(": ")[2] for name in CHAIN]
    assert set(verdicts) == {"holds", "undecided"}


@pytest.mark.parametrize(
    ("off", "measure", "status"),
    [
        (0.0, Curvature(1e-9), "holds"),
        (0.0, Curvature(1e-9, route="exact"), "holds"),
        (0.0, Curvature(0.3, 24, route="generic"), "undecided"),
        (1e-3, Curvature(1e-9), "not_applicable"),
    ],
)
def test_what_a_store_says_of_the_whole_chain(tmp_path: Path, off: float, measure: Curvature, status: str) -> None:
    store = stored(fitted(off), tmp_path, measure)
    assert store.results()["chain_status"].tolist() == [status]
    assert store.sql("select chain_status from results").values.tolist() == [[status]]
    query = f"select count(*) from results where chain_status = '{status}' and (chain_1 is null) = {off > 0}"
    assert store.sql(query).values.tolist() == [[1]]


@pytest.mark.parametrize(("name", "loss", "reduction"), CASES[::6])
def test_elsewhere_no_number_is_dressed_as_a_bound(name: str, loss: str, reduction: str, tmp_path: Path) -> None:
    point, measure = problem(name, loss, reduction), Curvature(1.0, 50)
    found = measure.compute(Evaluation(point)).estimates
    assert {(found[link].status, found[link].method) for link in CHAIN} == {(Status.NOT_APPLICABLE, REASON)}
    assert all(np.isnan(found[link].value) for link in CHAIN)
    assert stored(point, tmp_path, measure).results()["chain_status"].tolist() == ["not_applicable"]
