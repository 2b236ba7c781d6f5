"""The jackknife removes the bias in 1/m, exactly where there is no other, and gives the usual standard error."""

import math

import numpy as np
import pytest

from scalecurv.statistics.estimate import Status
from scalecurv.statistics.intervals import jackknife_estimate, mean_estimate, skewness_of, student_estimate

X = np.random.default_rng(3).exponential(2.0, 11)


def without(x: np.ndarray) -> np.ndarray:
    """Return the means of all entries except the i-th."""
    return (x.sum() - x) / (len(x) - 1)


@pytest.mark.parametrize("unbiased", [True, False])
def test_of_a_mean_it_is_the_mean(unbiased: bool) -> None:
    found = jackknife_estimate(X.mean(), without(X), "test", 0.9, unbiased)
    usual = mean_estimate(X, "test", 0.9)
    for name in ("value", "stderr", "lower", "upper"):
        assert getattr(found, name) == pytest.approx(getattr(usual, name), rel=1e-12)
    assert (found.num_samples, found.num_matvecs, found.method) == (11, 11, "test")
    assert (found.confidence, found.status) == (0.9, Status.BUDGET)


def test_of_a_squared_mean_it_is_the_unbiased_one() -> None:
    """m q - (m - 1) q_(-i) of q = mean^2 averages to the U-statistic sum_(i != j) x_i x_j / (m (m - 1))."""
    found = jackknife_estimate(X.mean() ** 2, without(X) ** 2, "test")
    pairs = (X.sum() ** 2 - (X**2).sum()) / (11 * 10)
    assert found.value == pytest.approx(pairs, rel=1e-12)
    assert X.mean() ** 2 - found.value == pytest.approx(X.var(ddof=1) / 11, rel=1e-10)  # what was taken out


def test_what_is_unbiased_stays_as_it_is() -> None:
    found = jackknife_estimate(X.mean() ** 2, without(X) ** 2, "test", unbiased=True)
    assert found.value == X.mean() ** 2
    assert found.stderr == jackknife_estimate(X.mean() ** 2, without(X) ** 2, "test").stderr


def test_the_standard_error_is_that_of_the_pseudo_values() -> None:
    """sqrt((m - 1) / m sum (q_(-i) - mean)^2), and their skewness is that of the interval."""
    left = without(X) ** 2
    found = jackknife_estimate(X.mean() ** 2, left, "test", 0.8)
    assert found.stderr**2 == pytest.approx(10 / 11 * ((left - left.mean()) ** 2).sum(), rel=1e-10)
    skewness = skewness_of(11 * X.mean() ** 2 - 10 * left)
    assert skewness > 1
    expected = student_estimate(found.value, found.stderr, 11, "test", 0.8, skewness=skewness)
    assert (found.lower, found.upper) == pytest.approx((expected.lower, expected.upper), rel=1e-10)


def test_it_moves_with_the_statistic() -> None:
    plain = jackknife_estimate(3.0, np.array([2.0, 3.0, 3.5, 4.0]), "test")
    moved = jackknife_estimate(-2 * 3.0 + 5, -2 * np.array([2.0, 3.0, 3.5, 4.0]) + 5, "test")
    assert moved.value == pytest.approx(-2 * plain.value + 5, rel=1e-12)
    assert moved.stderr == pytest.approx(2 * plain.stderr, rel=1e-12)


@pytest.mark.parametrize("whole", [math.inf, math.nan, 1e308])
def test_an_overflow_is_a_failed_estimate(whole: float) -> None:
    found = jackknife_estimate(whole, np.array([1.0, 2.0, 3.0]), "test")
    assert (found.status, found.num_samples) == (Status.FAILED, 3)
    assert math.isnan(found.value)
