"""Student's interval: the right quantile, the right freedom, and no interval from one sample."""

import math

import numpy as np
import pytest
from scipy.stats import t

from scalecurv.estimate import Estimate, Status
from scalecurv.student import mean_estimate, skewed_quantile, skewness_of, student_estimate
from tests.calibration import assert_calibrated


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("m", [2, 3, 32, 1000])
def test_the_quantile_has_m_minus_1_degrees_of_freedom(m: int, confidence: float) -> None:
    estimate = student_estimate(-4.0, 0.3, m, "test", confidence)
    low, high = t.interval(confidence, m - 1, loc=-4.0, scale=0.3)
    assert (estimate.lower, estimate.upper) == pytest.approx((low, high), rel=1e-10)
    assert (estimate.stderr, estimate.confidence, estimate.num_samples) == (0.3, confidence, m)
    assert estimate.status is Status.BUDGET


@pytest.mark.parametrize("freedom", [1.0, 2.5, 31.0, 400.0])
def test_a_freedom_that_is_known_takes_the_place_of_m_minus_1(freedom: float) -> None:
    estimate = student_estimate(2.0, 0.3, 32, "test", 0.9, freedom=freedom)
    low, high = t.interval(0.9, freedom, loc=2.0, scale=0.3)
    assert (estimate.lower, estimate.upper) == pytest.approx((low, high), rel=1e-10)
    assert (estimate.num_samples, estimate.num_matvecs) == (32, 32)
    assert student_estimate(2.0, 0.3, 32, "test", 0.9) == student_estimate(2.0, 0.3, 32, "test", 0.9, freedom=31)


def test_a_mean_of_known_samples() -> None:
    estimate = mean_estimate(np.array([1.0, 2.0, 6.0]), "test")
    assert estimate.value == 3
    assert estimate.stderr == pytest.approx(math.sqrt(7 / 3))  # variance (4 + 1 + 9) / 2 over 3
    assert estimate.num_matvecs == 3


def held(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.lower <= truth <= e.upper for e in estimates]))


@pytest.mark.parametrize("m", [3, 5, 40])
def test_intervals_from_few_samples_hold_as_often_as_they_say(m: int) -> None:
    draws = np.random.default_rng(m).standard_normal((2000, m)) * 5 - 2
    plain = [student_estimate(d.mean(), d.std(ddof=1) / math.sqrt(m), m, "test") for d in draws]
    assert held(plain, -2) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2000))
    careful = [mean_estimate(d, "test") for d in draws]  # wider where so few samples look skewed
    assert held(careful, -2) >= held(plain, -2)
    if m == 40:  # fewer make z itself a Student variable
        assert held(careful, -2) < 0.975
        assert_calibrated(careful[:500], -2.0)


def test_a_skewed_mean_is_held_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).standard_normal((3000, 32)) ** 2
    careful = held([mean_estimate(d, "test") for d in draws], 1)
    plain = held([student_estimate(d.mean(), d.std(ddof=1) / math.sqrt(32), 32, "test") for d in draws], 1)
    assert plain < 0.93
    assert 0.945 <= careful <= 0.98


@pytest.mark.parametrize("skewness", [0.3, -0.3, 2.8, -2.8])
@pytest.mark.parametrize("m", [32, 200])
def test_the_quantile_solves_halls_equation(skewness: float, m: int) -> None:
    """g(z) = z + c z^2 / 3 + c^2 z^3 / 27 + c / 6 is one of -t and t at the quantile, and the wider one is taken."""
    c, q = skewness / math.sqrt(m), skewed_quantile(2.0, skewness, m)
    ends = [z + c * z * z / 3 + c * c * z**3 / 27 + c / 6 for z in (-q, q)]
    assert min(abs(abs(g) - 2) for g in ends) < 1e-12
    assert q > 2
    assert all(abs(g) >= 2 - 1e-12 for g in ends)
    assert q == pytest.approx(skewed_quantile(2.0, -skewness, m), rel=1e-12)


def test_no_skewness_is_student_itself() -> None:
    assert skewed_quantile(2.0, 0.0, 32) == 2.0
    assert skewed_quantile(2.0, 1e-7, 32) == pytest.approx(2.0, rel=1e-6)


def test_skewness() -> None:
    samples = np.array([1.0, 1.0, 1.0, 5.0])  # moments 3 and 6 around 2
    assert skewness_of(samples) == pytest.approx(6 / 3**1.5, rel=1e-12)
    for c in (-1e-200, 1e200, -3.0):
        assert skewness_of(c * samples) == pytest.approx(np.sign(c) * 6 / 3**1.5, rel=1e-9)
    assert skewness_of(np.array([-1.0, 0.0, 1.0])) == 0
    assert skewness_of(np.full(4, 7.0)) == 0
    assert skewness_of(np.array([5.0])) == 0


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
