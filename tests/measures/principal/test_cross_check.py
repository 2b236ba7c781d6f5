"""Roads that should meet: they do, unless something is wrong, and then they say so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scalecurv.measures import Principal
from scalecurv.measures.curvature.scalar import ScalarCurvature, scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.principal.cross_check import compared, mean_of_planes, planes_at_random
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import by_products, oracle, problem
from tests.quadratic import quadratic

ROADS = ("scalar_curvature_convex", "sectional_mean")


def between(lower: float, upper: float, status: Status = Status.BUDGET) -> Estimate:
    return replace(Estimate.enclosed((lower + upper) / 2, lower, upper, "road", status), num_samples=FIRST_LOOK)


@each(
    ("wide", "other", "apart"),
    [((0, 1), (2, 3), True), ((2, 3), (0, 1), True), ((0, 2), (1, 3), False), ((1, 2), (0, 3), False)],
    status=[Status.BUDGET, Status.CONVERGED],
)
def test_only_intervals_without_a_common_point_are_inconsistent(
    wide: tuple[float, float], other: tuple[float, float], apart: bool, status: Status
) -> None:
    """Ends that touch are no contradiction; the quoted interval, which is narrower, has no say."""
    quoted = between(10, 11, status)
    found = compared(quoted, between(*wide), between(*other))
    assert found.status is (Status.INCONSISTENT if apart else status)
    beside = f"road; beside {sum(other) / 2:.6g} in [{other[0]}, {other[1]}]"
    assert replace(found, method="", status=status) == replace(quoted, method="")
    assert found.method == beside
    assert compared(quoted, between(0, 1), between(1, 3)).status is status


def test_a_handful_of_terms_decides_nothing() -> None:
    few = replace(between(10, 11), num_samples=FIRST_LOOK - 1)
    assert compared(few, between(0, 1), between(2, 3)).status is few.status


def test_what_broke_down_is_not_compared() -> None:
    quoted, broken = between(0, 1), between(5, 6, Status.FAILED)
    assert compared(quoted, quoted, broken) is quoted
    assert compared(broken, broken, quoted) is broken


def shifted(monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    """The first road as it would be with an error of so many half-widths of K, of |K| where that is exact."""

    def wrong(evaluation: Evaluation, strategy: Strategy) -> ScalarCurvature:
        found = scalar_curvature(evaluation, strategy)
        by = shift * abs(found.K.value)
        return replace(found, K=found.K.affine(1.0, by))

    monkeypatch.setattr("scalecurv.measures.principal.cross_check.scalar_curvature", wrong)


@pytest.mark.parametrize("shift", [-500.0, -1e-4, 1e-4, 500.0])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_a_wrong_k_is_found_out(monkeypatch: pytest.MonkeyPatch, name: str, shift: float) -> None:
    """Far away: inconsistent; by a little, inside what the road leaves open: not."""
    shifted(monkeypatch, shift)
    found = Principal(0.05, 600, route=by_products(name)).compute(Evaluation(problem(name))).estimates
    wrong = abs(shift) > 1
    assert [(found[road].status is Status.INCONSISTENT) for road in ROADS] == [wrong, wrong]
    for road in ROADS:
        assert "; beside " in found[road].method


@pytest.mark.parametrize("route", ["exact", "dense"])
def test_a_trace_of_the_wrong_sign_is_found_out(monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    """K is linear in the sign of T where the slope is steep: the five-number formula on a wrong T."""
    truth = oracle("relu")
    T, F, b = truth.trace(), truth.trace_h2(), truth.beta
    g = truth.gradient
    ghg, gh2g = float(g @ truth.hessian @ g), float((truth.hessian @ g).square().sum())
    K = b * (T * T - F) + 2 * b * b * (gh2g + T * ghg)

    def wrong(evaluation: Evaluation, strategy: Strategy) -> ScalarCurvature:
        return replace(scalar_curvature(evaluation, strategy), K=Estimate.exact(K, "wrong"))

    monkeypatch.setattr("scalecurv.measures.principal.cross_check.scalar_curvature", wrong)
    found = Principal(0.05, 1000, route=route).compute(Evaluation(problem("relu"))).estimates
    assert found["scalar_curvature_convex"].status is Status.INCONSISTENT


@pytest.mark.parametrize("matvecs", [24, 600])
def test_no_alarm_without_a_cause(matvecs: int) -> None:
    """At 99.9999 % in hardly any of so many problems and seeds: here in none."""
    levels = [
        np.linspace(-1, 2, 16),
        np.concatenate([[9.0, -7, 5], np.linspace(-0.1, 0.3, 13)]),
        np.geomspace(0.1, 3, 16),
    ]
    alarms = 0
    for i, level in enumerate(levels):
        A = symmetric(level, i)
        for seed in range(5):
            found = (
                Principal(0.1, matvecs, route="generic")
                .compute(Evaluation(quadratic(A, A[0] * (seed % 3)), seed))
                .estimates
            )
            alarms += sum(found[road].status is Status.INCONSISTENT for road in ROADS)
    assert alarms == 0


def test_the_verdict_is_at_six_nines_the_quote_at_95(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []

    def spy(quoted: Estimate, wide: Estimate, other: Estimate) -> Estimate:
        seen.append((quoted.confidence, wide.confidence))
        assert wide.value == quoted.value
        assert wide.halfwidth > quoted.halfwidth
        return compared(quoted, wide, other)

    monkeypatch.setattr("scalecurv.measures.principal.cross_check.compared", spy)
    A = symmetric(np.linspace(-1, 2, 40))
    Principal(0.1, 600, route="generic").compute(Evaluation(quadratic(A, A[0])))
    assert seen == [(0.95, 1 - 1e-6)] * 2


def test_planes_are_remembered_and_their_mean_is_theirs() -> None:
    A = symmetric(np.linspace(-1, 2, 12))
    evaluation, strategy = Evaluation(quadratic(A, A[0])), Strategy(0.1, 200, 2 << 30, "generic")
    planes = planes_at_random(evaluation, strategy)
    spent = evaluation.total_matvecs
    found = mean_of_planes(evaluation, strategy)
    assert len(planes) == strategy.budget.planes == 12
    assert spent == 1 + 2 * 12
    assert found.value == pytest.approx(planes.mean(), rel=1e-12)
    assert found.stderr == pytest.approx(planes.std(ddof=1) / 12**0.5, rel=1e-12)
    assert (found.num_matvecs, found.num_samples, found.confidence) == (24, 12, 0.95)
    assert found.method.startswith("12 random planes; beside ")
    beside = scalar_curvature(evaluation, strategy).K.value / (12 * 11)
    assert f"beside {beside:.6g} in [" in found.method
    assert torch.equal(torch.from_numpy(planes), torch.from_numpy(planes_at_random(evaluation, strategy)))


def test_converged_is_a_tenth_of_k_or_of_what_cancels() -> None:
    """Looked at after 32 probes, and no more are drawn once that is known."""
    A = symmetric(np.concatenate([[20.0, 15, 10], np.linspace(-0.1, 0.3, 27)]))
    sure = (
        Principal(0.1, 1000, route="generic")
        .compute(Evaluation(quadratic(A, A[0])))
        .estimates["scalar_curvature_convex"]
    )
    assert (sure.status, sure.num_samples) == (Status.CONVERGED, 32)
    assert sure.halfwidth <= 0.1 * sure.value
    few = Principal(0.1, 24).compute(Evaluation(quadratic(symmetric(np.linspace(-3, 3, 60)), A[0].repeat(2)))).estimates
    assert few["scalar_curvature_convex"].num_samples == 3
    assert few["scalar_curvature_convex"].status is Status.BUDGET
