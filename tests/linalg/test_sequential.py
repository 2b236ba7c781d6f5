"""Looks at doublings only, and the tolerance means the half-width of the interval."""

import numpy as np
import pytest

from scalecurv.estimate import Status
from scalecurv.linalg.sequential import estimate_until, looks, settle
from scalecurv.student import mean_estimate, student_estimate

NOISE = np.random.default_rng(0).standard_normal((5000, 2)) * [1.0, 4.0] + 10
ESTIMATORS = {
    "narrow": lambda rows: mean_estimate(rows[:, 0], "test"),
    "wide": lambda rows: mean_estimate(rows[:, 1], "test"),
}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(5, [5]), (32, [32]), (33, [32, 33]), (64, [32, 64]), (899, [32, 64, 128, 256, 512, 899])],
)
def test_looks_double_and_end_at_the_limit(limit: int, expected: list[int]) -> None:
    assert list(looks(limit)) == expected


@pytest.mark.parametrize(
    ("rtol", "limit", "watch", "num_samples", "statuses"),
    [
        (0.5, 1000, None, 32, ("converged", "converged")),
        (0.03, 1000, ("narrow",), 64, ("converged", "budget")),
        (0.05, 1000, None, 256, ("converged", "converged")),
        (0.05, 100, None, 100, ("converged", "budget")),
        (1e-9, 70, None, 70, ("budget", "budget")),
        (0.5, 31, None, 31, ("budget", "budget")),  # too few terms to believe their spread
    ],
)
def test_it_stops_at_the_first_look_inside_the_tolerance(
    rtol: float, limit: int, watch: tuple[str, ...] | None, num_samples: int, statuses: tuple[str, str]
) -> None:
    asked: list[int] = []

    def terms(m: int) -> np.ndarray:
        asked.append(m)
        return NOISE[:m]

    found = estimate_until(terms, ESTIMATORS, rtol, limit, watch)
    assert [found[name].num_samples for name in ESTIMATORS] == [num_samples] * 2
    assert tuple(found[name].status for name in ESTIMATORS) == statuses
    assert asked == list(looks(num_samples))


def test_settling_raises_budget_and_nothing_else() -> None:
    sure = student_estimate(1.0, 1e-6, 32, "test")
    assert settle(sure, 1e-3).status is Status.CONVERGED
    assert settle(sure, 1e-9).status is Status.BUDGET
    assert settle(student_estimate(1.0, 1e-6, 31, "test"), 1e-3).status is Status.BUDGET
    for other in set(Status) - {Status.BUDGET}:
        said = sure.with_status(other)
        assert settle(said, 1e-3) is said
