"""A quotient lies in all that its parts leave open, and knows when it has no answer."""

import math

import numpy as np
import pytest

from scalecurv.estimate import Estimate, Status
from scalecurv.geometry.ratios import PROVEN, effective_rank, interval_of, joint_status, participation_ratio


def part(lower: float, upper: float, status: Status = Status.CERTIFIED, confidence: float = 0.99) -> Estimate:
    return Estimate((lower + upper) / 2, math.nan, lower, upper, confidence, 3, 7, "test", status)


@pytest.mark.parametrize(
    ("above", "below", "expected"),
    [
        ((6.0, 8.0), (2.0, 4.0), (1.5, 4.0)),
        ((-6.0, 8.0), (2.0, 4.0), (-3.0, 4.0)),
        ((-6.0, -4.0), (2.0, 4.0), (-3.0, -1.0)),
        ((0.0, 0.0), (2.0, 4.0), (0.0, 0.0)),
    ],
)
def test_effective_rank_at_its_corners(
    above: tuple[float, float], below: tuple[float, float], expected: tuple[float, float]
) -> None:
    found = effective_rank(part(*above), part(*below))
    assert (found.lower, found.upper) == expected
    assert found.value == sum(above) / sum(below)
    assert found.method == "T / lambda_max"


@pytest.mark.parametrize(
    ("above", "below", "expected"),
    [
        ((6.0, 8.0), (2.0, 4.0), (9.0, 32.0)),
        ((-8.0, -6.0), (2.0, 4.0), (9.0, 32.0)),
        ((-3.0, 2.0), (2.0, 4.0), (0.0, 4.5)),  # a square is least at zero
        ((0.0, 2.0), (2.0, 4.0), (0.0, 2.0)),
    ],
)
def test_participation_ratio_at_its_corners(
    above: tuple[float, float], below: tuple[float, float], expected: tuple[float, float]
) -> None:
    found = participation_ratio(part(*above), part(*below))
    assert (found.lower, found.upper) == expected
    assert found.value == pytest.approx((sum(above) / 2) ** 2 / (sum(below) / 2))
    assert found.method == "T^2 / F"


@pytest.mark.parametrize("quotient", [effective_rank, participation_ratio])
def test_everything_inside_is_inside(quotient: type) -> None:
    rng = np.random.default_rng(0)
    power = 1 if quotient is effective_rank else 2
    for _ in range(300):
        a, b = np.sort(rng.uniform(-3, 3, 2)), np.sort(rng.uniform(0.1, 2, 2))
        found = quotient(part(*a), part(*b))
        inner = rng.uniform(a[0], a[1], 50) ** power / rng.uniform(b[0], b[1], 50)
        assert found.lower <= inner.min()
        assert inner.max() <= found.upper


@pytest.mark.parametrize("below", [(0.0, 1.0), (-1.0, 1.0), (-2.0, -1.0), (math.nan, math.nan)])
def test_no_answer_where_the_denominator_may_vanish(below: tuple[float, float]) -> None:
    for found, name in (
        (effective_rank(part(1, 2), part(*below)), "T / lambda_max"),
        (participation_ratio(part(1, 2), part(*below)), "T^2 / F"),
    ):
        assert found.status is Status.NOT_APPLICABLE
        assert found.method == f"{name}: the denominator may be zero"


def test_risks_add_up_and_costs_are_shared() -> None:
    one = Estimate(4.0, 0.1, 3.0, 5.0, 0.95, 40, 60, "test", Status.CONVERGED)
    other = Estimate(2.0, 0.1, 1.0, 3.0, 0.999, 1, 90, "test", Status.CERTIFIED)
    found = effective_rank(one, other)
    assert found.confidence == pytest.approx(0.949, rel=1e-12)
    assert (found.num_samples, found.num_matvecs) == (40, 90)
    assert math.isnan(found.stderr)
    assert found.status is Status.CONVERGED
    assert effective_rank(part(1, 2, confidence=0.3), part(1, 2, confidence=0.4)).confidence == 0
    exact = effective_rank(Estimate.exact(6, "a"), Estimate.exact(2, "b"))
    assert (exact.value, exact.lower, exact.upper, exact.confidence, exact.status) == (3, 3, 3, 1, Status.EXACT)


ORDER = [Status.FAILED, Status.BUDGET, Status.LOWER_BOUND, Status.CONVERGED, Status.CERTIFIED, Status.EXACT]


@pytest.mark.parametrize("worst", ORDER)
def test_it_is_known_as_well_as_its_least_known_part(worst: Status) -> None:
    better = ORDER[ORDER.index(worst) :]
    parts = [part(1, 2, status) for status in better]
    assert joint_status(*parts) is worst
    assert joint_status(*parts[::-1]) is worst
    assert joint_status(parts[0]) is worst


def test_what_is_proven() -> None:
    assert set(PROVEN) == {Status.EXACT, Status.CERTIFIED}
    assert interval_of(part(1.0, 4.0)) == (1.0, 4.0)
