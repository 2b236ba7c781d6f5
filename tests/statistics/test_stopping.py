"""The rule looks at doublings only, and the tolerance bounds the half-width of the interval."""

import math

import numpy as np
import pytest

from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import mean_estimate, student_estimate
from scalecurv.statistics.stopping import Tolerance, estimate_until, following, looks

NOISE = np.random.default_rng(0).standard_normal((5000, 2)) * [1.0, 4.0] + 10
ESTIMATORS = {
    "narrow": lambda rows: mean_estimate(rows[:, 0], "test"),
    "wide": lambda rows: mean_estimate(rows[:, 1], "test"),
}


def interval(value: float, halfwidth: float) -> Estimate:
    return Estimate(value, math.nan, value - halfwidth, value + halfwidth, 0.95, 32, 32, "test", Status.BUDGET)


def test_looks_double_and_end_at_the_limit() -> None:
    for limit, expected in [(5, [5]), (32, [32]), (33, [32, 33]), (64, [32, 64]), (899, [32, 64, 128, 256, 512, 899])]:
        assert list(looks(limit)) == expected


def test_it_stops_at_the_first_look_inside_every_tolerance() -> None:
    for tolerances, limit, num_samples, statuses in [
        ({"narrow": 0.5, "wide": 0.5}, 1000, 32, ("converged", "converged")),
        ({"narrow": 0.03}, 1000, 64, ("converged", "budget")),
        ({"narrow": 0.05, "wide": 0.05}, 1000, 256, ("converged", "converged")),
        ({"narrow": 0.03, "wide": 0.5}, 1000, 64, ("converged", "converged")),  # each its own
        ({"narrow": 0.5, "wide": 0.05}, 1000, 256, ("converged", "converged")),
        ({"narrow": 0.05, "wide": 0.05}, 100, 100, ("converged", "budget")),
        ({"narrow": 1e-9, "wide": 1e-9}, 70, 70, ("budget", "budget")),
        ({"narrow": 0.5, "wide": 0.5}, 31, 31, ("budget", "budget")),  # too few terms to believe their spread
        ({}, 1000, 32, ("budget", "budget")),
    ]:
        asked: list[int] = []

        def terms(m: int, asked: list[int] = asked) -> np.ndarray:
            asked.append(m)
            return NOISE[:m]

        asked_for = {name: Tolerance(rtol) for name, rtol in tolerances.items()}
        found = estimate_until(terms, ESTIMATORS, asked_for, limit)
        assert [found[name].num_samples for name in ESTIMATORS] == [num_samples] * 2
        assert tuple(found[name].status for name in ESTIMATORS) == statuses
        assert asked == list(looks(num_samples))


def test_a_tolerance_is_relative_down_to_its_floor() -> None:
    for value, expected in [(10.0, 0.1), (-10.0, 0.1), (4.0, 0.04), (3.0, 0.04), (0.0, 0.04), (-1.0, 0.04)]:
        assert Tolerance(0.01, 4.0).at(value) == pytest.approx(expected, rel=1e-12)
        assert Tolerance(0.01).at(value) == 0.01 * abs(value)


def test_settling_says_where_the_floor_took_over() -> None:
    for value, halfwidth, status, method in [
        (8.0, 0.5, "converged", "test"),  # exactly at the tolerance
        (-8.0, 0.5, "converged", "test"),
        (8.0, 0.5625, "budget", "test"),
        (4.0, 0.25, "converged", "test"),  # exactly at the floor: still relative
        (1.0, 0.25, "converged", "test, absolute tolerance 0.25"),
        (1.0, 0.3125, "budget", "test"),
        (0.0, 0.25, "converged", "test, absolute tolerance 0.25"),
        (1.0, math.inf, "budget", "test"),
    ]:
        settled = Tolerance(0.0625, 4.0).settle(interval(value, halfwidth))
        assert (settled.status, settled.method) == (status, method)
        assert settled.with_status(Status.BUDGET) == interval(value, halfwidth) or method != "test"
        assert (settled.lower, settled.upper) == (value - halfwidth, value + halfwidth)


def test_settling_raises_budget_and_nothing_else() -> None:
    sure = student_estimate(1.0, 1e-6, 32, "test")
    assert Tolerance(1e-3).settle(sure).status is Status.CONVERGED
    assert Tolerance(1e-3).settle(sure, Status.CERTIFIED).status is Status.CERTIFIED
    assert Tolerance(1e-9).settle(sure).status is Status.BUDGET
    for other in set(Status) - {Status.BUDGET}:
        said = sure.with_status(other)
        assert Tolerance(1e-3).settle(said) is said
        assert Tolerance(1e-3, 10.0).settle(said) is said


def test_an_interval_turned_inside_out_meets_no_tolerance() -> None:
    wrong = Estimate.enclosed(1.0, 1.1, 0.9, "", Status.BUDGET)
    assert Tolerance(0.5).settle(wrong) is wrong


def test_the_next_look_is_a_tenth_beyond_what_is_needed() -> None:
    for count in (32, 48, 128):
        for needed in (count + 1.0, 1.7 * count, 3.0 * count, 100.0 * count, math.inf):
            for limit in (count + 1, 2 * count, 10**6):
                m = following(count, needed, limit)
                assert count < m <= min(limit, 4 * count)
                assert m == limit or m % 16 == 0
                assert m == limit or m >= min(1.1 * needed, 4 * count)
                assert m <= max(1.1 * needed + 16, count + 16)
