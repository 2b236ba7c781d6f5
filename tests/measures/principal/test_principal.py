"""Principal, sectional, mean and Ricci curvature against the dense shape operator."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.geometry.sectional import sectional_extremes
from scalecurv.linalg.krylov.outermost import Effort, Outermost, outermost_eigenvalues
from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures import Curvature, Extremes, Moments, Principal
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import ritz_run
from scalecurv.measures.measure import Findings
from scalecurv.measures.noise import rounding
from scalecurv.measures.principal.principal import PRINCIPAL
from scalecurv.measures.route import Budget
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import Dense, dense_at
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import CASES, by_products, fitted, oracle, problem
from tests.quadratic import quadratic


def shape_of(H: Tensor, g: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
    """Eigenvalues (descending) and vectors of A = sqrt(beta) G^(-1/2) H G^(-1/2), and G^(-1/2)."""
    values, vectors = torch.linalg.eigh(torch.eye(len(g), dtype=torch.float64) + torch.outer(g, g))
    half = vectors * values**-0.5 @ vectors.T
    kappa, directions = torch.linalg.eigh(half @ H @ half / (1 + float(g @ g)) ** 0.5)
    return kappa.numpy()[::-1].copy(), directions.flip(1), half


def truths(truth: Dense) -> dict[str, float]:
    g, H = truth.gradient, truth.hessian
    kappa, P = shape_of(H, g)[0], len(g)
    products = [a * b for i, a in enumerate(kappa) for b in kappa[i + 1 :]]
    ric = truth.beta * ((H.trace() - truth.beta * g @ H @ g) * H - H @ H + truth.beta * torch.outer(H @ g, H @ g))
    return {
        **dict(zip(PRINCIPAL, kappa[[0, 1, -2, -1]], strict=True)),
        "sectional_max": max(products),
        "sectional_min": min(products),
        "mean_curvature": float(kappa.sum()),
        "ricci_gradient": float(g @ ric @ g) / (float(g @ g) * (1 + float(g @ g))),
        "sectional_mean": truth.curvature / (P * (P - 1)),
        "scalar_curvature_convex": truth.curvature,
    }


def holds(e: Estimate, truth: float, rounding: float) -> bool:
    return e.lower - rounding <= truth <= e.upper + rounding


@each(("name", "loss", "reduction"), CASES[::3], dtype=[torch.float64, torch.float32])
def test_every_interval_holds_the_dense_truth(name: str, loss: str, reduction: str, dtype: torch.dtype) -> None:
    """Certificates always; what is sampled at 95 % within twice its interval."""
    point = problem(name, loss, reduction, dtype=dtype)
    truth = truths(oracle(name, loss, reduction) if dtype == torch.float64 else dense_at(point))
    for seed in range(3) if name == "relu" else (1,):
        found = Principal(0.02, 400, route=by_products(name)).compute(Evaluation(point, seed)).estimates
        assert set(found) == set(Principal.quantities)
        for quantity, value in truth.items():
            e = found[quantity]
            sampled = e.stderr > 0
            assert holds(e, value, 2 * e.halfwidth if sampled else 1e-10 * abs(value)), quantity
            assert e.status is not Status.INCONSISTENT
        if dtype == torch.float64:
            for i, quantity in enumerate(PRINCIPAL):
                assert found[quantity].status is Status.CERTIFIED, (i, quantity)
        exact = Status.EXACT if name in ("relu", "one output") and dtype == torch.float64 else None
        for quantity in ("mean_curvature", "ricci_gradient"):
            assert exact is None or found[quantity].status is exact
            assert found[quantity].num_matvecs >= 1


@pytest.mark.parametrize("rtol", [0.1, 1e-2, 1e-4])
def test_principal_curvatures_to_half_their_products_to_all_of_the_tolerance(rtol: float) -> None:
    found = Principal(rtol, 1000, route="exact").compute(Evaluation(problem("relu"))).estimates
    norm = max(abs(found[quantity].value) for quantity in PRINCIPAL)
    for quantity in PRINCIPAL:
        assert found[quantity].status is Status.CERTIFIED
        assert found[quantity].halfwidth <= rtol / 2 * max(abs(found[quantity].value), norm / 10)
        assert found[quantity].confidence == pytest.approx(0.995)
    for quantity in ("sectional_max", "sectional_min"):
        assert found[quantity].halfwidth <= rtol * max(abs(found[quantity].value), norm**2 / 10)
        assert found[quantity].status is Status.CERTIFIED
        assert found[quantity].confidence == pytest.approx(0.99)


@each(route=["generic", "dense"], flat=["fitted", "quadratic"])
def test_without_a_slope_principal_curvatures_are_eigenvalues(flat: str, route: str) -> None:
    A = symmetric(np.array([5.0, 5.0, 3, 1, 0, -1, -2, -4]))
    point = fitted() if flat == "fitted" else quadratic(A, torch.zeros(8, dtype=torch.float64))
    found = Principal(0.01, route=route).compute(Evaluation(point)).estimates
    eigenvalues = np.linalg.eigvalsh(A if flat == "quadratic" else dense_at(point).hessian)[::-1]
    for quantity, value in zip(PRINCIPAL, eigenvalues[[0, 1, -2, -1]], strict=True):
        assert holds(found[quantity], value, 1e-12 * abs(eigenvalues[0]) if route == "dense" else 0)
    assert found["ricci_gradient"].status is Status.NOT_APPLICABLE
    assert found["ricci_gradient"].method == "the gradient is 0 beside 1"
    assert holds(found["mean_curvature"], float(eigenvalues.sum()), 1e-9)


def test_one_parameter_spans_no_plane() -> None:
    point = quadratic(torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    found = Principal().compute(Evaluation(point))
    assert set(found.estimates) == set(Principal.quantities)
    assert {e.status for e in found.estimates.values()} == {Status.NOT_APPLICABLE}
    assert {e.method for e in found.estimates.values()} == {"one parameter spans no plane"}


def same(a: Findings, b: Findings) -> bool:
    return (
        repr(a.estimates) == repr(b.estimates)
        and repr(a.parts) == repr(b.parts)
        and all(np.array_equal(a.arrays[key], b.arrays[key]) for key in a.arrays)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_same_seed_same_bits_whatever_was_asked_before(dtype: torch.dtype) -> None:
    for name in ("relu",) if dtype == torch.float64 else ("tanh",):
        point, measure = problem(name, dtype=dtype), Principal(0.05, 100, route=by_products(name))
        alone, evaluation = measure.compute(Evaluation(point, 3)), Evaluation(point, 3)
        for other in (Extremes(0.001, 100), Moments(0.05, 200, route="generic"), Curvature(0.2, 100)):
            other.compute(evaluation)
        assert same(alone, measure.compute(evaluation))
        assert not same(alone, measure.compute(Evaluation(point, 4)))


@each(matvecs=[24, 50, 100, 1000], name=["tanh"], memory=[2 << 30, 24 * 74 * 8])
def test_products_beyond_those_of_the_other_measures(name: str, matvecs: int, memory: int) -> None:
    """1 + lanczos + outer_check + road + 2 planes at most, each row with its own."""
    budget = Budget(matvecs)
    evaluation = Evaluation(problem(name), 1)
    for measure in (Extremes, Moments, Curvature):
        measure(1e-4, matvecs, memory, "generic").compute(evaluation)
    measure = Principal(1e-4, matvecs, memory, "generic")
    ritz_run(evaluation, measure.strategy)  # of which it takes planes: at most four steps more than the ends
    before = evaluation.total_matvecs
    found = measure.compute(evaluation)
    spent = evaluation.total_matvecs - before
    assert spent <= budget.lanczos + budget.outer_check + budget.check_probes + 2 * budget.planes
    rows = found.estimates
    assert len(found.arrays["sectional_planes"]) == budget.planes
    assert rows["sectional_mean"].num_matvecs == 2 * budget.planes
    outer = rows["principal_max"].num_matvecs
    assert {rows[q].num_matvecs for q in (*PRINCIPAL, "sectional_max", "sectional_min")} == {outer}
    assert outer <= budget.lanczos + budget.outer_check
    road = rows["scalar_curvature_convex"]
    assert road.num_samples <= budget.check_probes
    assert road.num_matvecs <= budget.lanczos + road.num_samples + 1
    if memory > 1 << 20:  # one vector a step
        assert road.num_matvecs == len(found.arrays["principal_values"]) + road.num_samples + 1
    assert spent == outer + road.num_samples + 2 * budget.planes  # Hg was there before
    for quantity, value in truths(oracle(name)).items():
        if not rows[quantity].stderr > 0:
            assert holds(rows[quantity], value, 1e-10 * abs(value)), quantity


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_asked_of_the_runs(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    """Half of the tolerance, the shares of the budget, and all that rounding does to A."""
    asked: list[tuple[float, Effort, float]] = []
    given: list[tuple[float, float]] = []

    def runs(A: LinearOperator, seed: int, rtol: float, effort: Effort, noise: float) -> Outermost:
        asked.append((rtol, effort, noise))
        found.append(outermost_eigenvalues(A, seed, rtol, effort, noise))
        return found[-1]

    def extremes(values: Sequence[Estimate], rtol: float, confidence: float) -> tuple[Estimate, Estimate]:
        given.append((rtol, confidence))
        return sectional_extremes(values, rtol, confidence)

    found: list[Outermost] = []
    monkeypatch.setattr("scalecurv.measures.principal.principal.outermost_eigenvalues", runs)
    monkeypatch.setattr("scalecurv.measures.principal.principal.sectional_extremes", extremes)
    evaluation = Evaluation(problem("tanh", dtype=dtype))
    rows, facts, noise = (
        Principal(0.06, 100, route="generic").compute(evaluation).estimates,
        gradient_facts(evaluation, True),
        rounding(evaluation),
    )
    steep = 2 * 32 * torch.finfo(dtype).eps * facts.gh2g**0.5
    [(rtol, effort, slack)], [(wanted, confidence)] = asked, given
    assert (rtol, effort, wanted) == (0.03, Effort(25, 6, 25), 0.06)
    assert slack == pytest.approx(facts.beta**0.5 * (noise.norm + steep), rel=1e-12)
    assert confidence == found[0].confidence
    for quantity, value in zip(PRINCIPAL, found[0].values, strict=True):
        assert rows[quantity].num_matvecs == value.num_matvecs + (0 if dtype == torch.float64 else 6)


@cache
def steep() -> tuple[Tensor, Tensor]:
    return symmetric(np.concatenate([[9.0, 6, -5, -8], np.linspace(-0.5, 0.5, 26)])), symmetric(np.arange(30.0))[3] / 9


@pytest.mark.parametrize("vectors", [12, 24])
def test_in_little_memory_everything_still_holds(vectors: int) -> None:
    """4 and 8 vectors at a time."""
    A, g = steep()
    kappa = shape_of(A, g)[0]
    for seed in range(2):
        found = Principal(0.05, 200, vectors * 30 * 8, "generic").compute(Evaluation(quadratic(A, g), seed))
        for quantity, value in zip(PRINCIPAL, kappa[[0, 1, -2, -1]], strict=True):
            assert holds(found.estimates[quantity], value, 0)
        assert len(found.arrays["principal_values"]) <= max(
            4, 2 * (vectors // 2 - 2) // 3
        )  # half is for the space of H
        assert found.estimates["scalar_curvature_convex"].status is not Status.INCONSISTENT


@pytest.mark.parametrize("route", ["exact", "sampled", "generic"])
def test_any_route_to_the_trace(route: str) -> None:
    found = Principal(0.05, 400, route=route).compute(Evaluation(problem("relu"))).estimates
    for quantity in ("mean_curvature", "ricci_gradient"):
        e, truth = found[quantity], truths(oracle("relu"))[quantity]
        assert holds(e, truth, 1e-10 if e.status is Status.EXACT else e.halfwidth)
        assert (e.status is Status.EXACT) is (route != "generic")


def test_what_is_made_of_a_known_trace_may_be_known_less_well() -> None:
    """Where the trace met its tolerance and this does not, the status says so."""
    A = symmetric(np.concatenate([[20.0], np.linspace(-1, 1.1, 59)]))  # most of the trace is along the slope
    g = 3 * torch.linalg.eigh(A)[1][:, -1]
    fell = {"mean_curvature": 0, "ricci_gradient": 0}
    for rtol in (0.3, 0.1):
        for seed in range(3):
            evaluation, measure = Evaluation(quadratic(A, g), seed), Principal(rtol, 100, route="generic")
            found, trace = measure.compute(evaluation).estimates, scalar_curvature(evaluation, measure.strategy).trace
            for quantity in fell:
                assert found[quantity].status is Status.BUDGET or found[quantity].within(rtol)
                fell[quantity] += found[quantity].status is not trace.status
    assert min(fell.values()) > 0


def test_ritz_planes_are_parts() -> None:
    found = Principal(0.1, 100, route="exact").compute(Evaluation(problem("relu")))
    assert set(found.parts) == {("sectional_ritz", name) for name in ("1 3", "1 -1", "2 3", "2 -1", "3 -1")}
    assert found.estimates["sectional_ritz"].method == "plane of Ritz vectors 1 and 2 of H"
