"""Student's interval: the right quantile, the right freedom, and no interval from one sample."""

import math

import numpy as np
import pytest
from scipy.stats import t

from scalecurv.estimate import Status
from scalecurv.student import mean_estimate, student_estimate
from tests.calibration import assert_calibrated


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("m", [2, 3, 32, 1000])
def test_the_quantile_has_m_minus_1_degrees_of_freedom(m: int, confidence: float) -> None:
    estimate = student_estimate(-4.0, 0.3, m, "test", confidence)
    low, high = t.interval(confidence, m - 1, loc=-4.0, scale=0.3)
    assert (estimate.lower, estimate.upper) == pytest.approx((low, high), rel=1e-10)
    assert (estimate.stderr, estimate.confidence, estimate.num_samples) == (0.3, confidence, m)
    assert estimate.status is Status.BUDGET


def test_a_mean_of_known_samples() -> None:
    estimate = mean_estimate(np.array([1.0, 2.0, 6.0]), "test")
    assert estimate.value == 3
    assert estimate.stderr == pytest.approx(math.sqrt(7 / 3))  # variance (4 + 1 + 9) / 2 over 3
    assert estimate.num_matvecs == 3


@pytest.mark.parametrize("m", [3, 5, 40])
def test_intervals_from_few_samples_hold_as_often_as_they_say(m: int) -> None:
    draws = np.random.default_rng(m).standard_normal((2000, m)) * 5 - 2
    held = np.mean([(e := mean_estimate(d, "test")).lower <= -2 <= e.upper for d in draws])
    assert held == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2000))
    if m == 40:  # fewer make z itself a Student variable
        assert_calibrated([mean_estimate(d, "test") for d in draws[:500]], -2.0)


def test_products_are_one_a_sample_unless_said() -> None:
    assert student_estimate(1.0, 0.1, 7, "test").num_matvecs == 7
    assert student_estimate(1.0, 0.1, 7, "test", num_matvecs=0).num_matvecs == 0


def test_one_sample_leaves_everything_open() -> None:
    estimate = mean_estimate(np.array([5.0]), "test")
    assert (estimate.value, estimate.lower, estimate.upper) == (5, -math.inf, math.inf)
    assert math.isnan(estimate.stderr)
    assert estimate.status is Status.BUDGET


@pytest.mark.parametrize("samples", [[1.0, math.inf], [1.0, math.nan], [1e308, 1e308, 1e308], [1e200, -1e200, 3.0]])
def test_an_overflow_of_value_or_error_has_failed(samples: list[float]) -> None:
    estimate = mean_estimate(np.array(samples), "test")
    assert estimate.status is Status.FAILED
    assert math.isnan(estimate.value)
    assert estimate.num_samples == len(samples)
