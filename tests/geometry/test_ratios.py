"""The interval of a quotient holds all quotients of its parts, and is absent where the denominator may be zero."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from scalecurv.geometry.ratios import PROVEN, effective_rank, interval_of, joint_status, participation_ratio
from scalecurv.statistics.estimate import Estimate, Status

RTOL = 0.1


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
    found = effective_rank(part(*above), part(*below), RTOL)
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
    found = participation_ratio(part(*above), part(*below), RTOL)
    assert (found.lower, found.upper) == expected
    assert found.value == pytest.approx((sum(above) / 2) ** 2 / (sum(below) / 2))
    assert found.method == "T^2 / F"


@pytest.mark.parametrize("quotient", [effective_rank, participation_ratio])
def test_everything_inside_is_inside(quotient: type) -> None:
    rng = np.random.default_rng(0)
    power = 1 if quotient is effective_rank else 2
    for _ in range(300):
        a, b = np.sort(rng.uniform(-3, 3, 2)), np.sort(rng.uniform(0.1, 2, 2))
        found = quotient(part(*a), part(*b), RTOL)
        inner = rng.uniform(a[0], a[1], 50) ** power / rng.uniform(b[0], b[1], 50)
        assert found.lower <= inner.min()
        assert inner.max() <= found.upper


@pytest.mark.parametrize("below", [(0.0, 1.0), (-1.0, 1.0), (-2.0, -1.0), (math.nan, math.nan)])
def test_no_answer_where_the_denominator_may_vanish(below: tuple[float, float]) -> None:
    for found, name in (
        (effective_rank(part(1, 2), part(*below), RTOL), "T / lambda_max"),
        (participation_ratio(part(1, 2), part(*below), RTOL), "T^2 / F"),
    ):
        assert found.status is Status.NOT_APPLICABLE
        assert found.method == f"{name}: the denominator may be zero"


def test_a_denominator_that_more_products_may_part_from_zero_leaves_it_unknown() -> None:
    for quotient in (effective_rank, participation_ratio):
        found = quotient(part(6, 8), part(-1, 5, Status.BUDGET), RTOL)
        assert (found.status, found.lower, found.upper) == (Status.BUDGET, -math.inf, math.inf)
        assert math.isnan(found.value)


def test_risks_add_up_and_costs_are_shared() -> None:
    one = Estimate(4.0, 0.1, 3.0, 5.0, 0.95, 40, 60, "test", Status.CONVERGED)
    other = Estimate(2.0, 0.1, 1.0, 3.0, 0.999, 1, 90, "test", Status.CERTIFIED)
    found = effective_rank(one, other, RTOL)
    assert found.confidence == pytest.approx(0.949, rel=1e-12)
    assert (found.num_samples, found.num_matvecs) == (40, 90)
    assert math.isnan(found.stderr)
    assert effective_rank(part(1, 2, confidence=0.3), part(1, 2, confidence=0.4), RTOL).confidence == 0
    exact = effective_rank(Estimate.exact(6, "a"), Estimate.exact(2, "b"), 0.0)
    assert (exact.value, exact.lower, exact.upper, exact.confidence, exact.status) == (3, 3, 3, 1, Status.EXACT)


SURE = [Status.EXACT, Status.CERTIFIED]
KNOWN = [*SURE, Status.CONVERGED, Status.LOWER_BOUND, Status.BUDGET]


def test_its_status_is_that_of_its_own_interval() -> None:
    """8 +- 0.1 over 2 +- 0.1 has a wider relative interval than either part."""
    for quotient in [effective_rank, participation_ratio]:
        for first, second in list(product(KNOWN, KNOWN)):
            above, below = part(7.9, 8.1, first), part(1.9, 2.1, second)
            width = quotient(above, below, RTOL).halfwidth / quotient(above, below, RTOL).value
            assert width > max(above.halfwidth / above.value, below.halfwidth / below.value)
            inside = Status.CERTIFIED if {first, second} <= set(SURE) else Status.CONVERGED
            for rtol, wanted in ((0.999 * width, Status.BUDGET), (1.001 * width, inside), (0.0, Status.BUDGET)):
                found = quotient(above, below, rtol)
                assert found.status is (Status.EXACT if first is second is Status.EXACT else wanted)
                assert found == replace(quotient(above, below, RTOL), status=found.status)  # nothing else depends on it


@pytest.mark.parametrize("quotient", [effective_rank, participation_ratio])
def test_a_failed_part_fails_it(quotient: type) -> None:
    broken = Estimate.failed("overflow", 3, 7)
    for parts in ((broken, part(1, 2)), (part(1, 2), broken), (broken, broken), (broken, part(-1, 1))):
        found = quotient(*parts, RTOL)
        assert found.status is Status.FAILED
        assert np.isnan([found.value, found.stderr, found.lower, found.upper, found.confidence]).all()
        assert found.method.endswith(": a part of it failed")


ORDER = [Status.FAILED, Status.BUDGET, Status.LOWER_BOUND, Status.CONVERGED, Status.CERTIFIED, Status.EXACT]


def test_it_is_known_as_well_as_its_least_known_part() -> None:
    for worst in ORDER:
        better = ORDER[ORDER.index(worst) :]
        parts = [part(1, 2, status) for status in better]
        assert joint_status(*parts) is worst
        assert joint_status(*parts[::-1]) is worst
        assert joint_status(parts[0]) is worst


def test_what_is_proven() -> None:
    assert set(PROVEN) == {Status.EXACT, Status.CERTIFIED}
    assert interval_of(part(1.0, 4.0)) == (1.0, 4.0)
