"""Student's interval: the right quantile, the right freedom, and no interval from one sample."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm
from scipy.stats import t as student

from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import at_confidence, mean_estimate, skewed_quantile, skewness_of, student_estimate
from tests.calibration import assert_calibrated


def test_the_quantile_has_m_minus_1_degrees_of_freedom() -> None:
    for confidence in [0.5, 0.95, 0.999]:
        for m in [2, 3, 32, 1000]:
            estimate = student_estimate(-4.0, 0.3, m, "test", confidence)
            low, high = student.interval(confidence, m - 1, loc=-4.0, scale=0.3)
            assert (estimate.lower, estimate.upper) == pytest.approx((low, high), rel=1e-10)
            assert (estimate.stderr, estimate.confidence, estimate.num_samples) == (0.3, confidence, m)
            assert estimate.status is Status.BUDGET


@pytest.mark.parametrize("freedom", [1.0, 2.5, 31.0, 400.0])
def test_a_freedom_that_is_known_takes_the_place_of_m_minus_1(freedom: float) -> None:
    estimate = student_estimate(2.0, 0.3, 32, "test", 0.9, freedom=freedom)
    low, high = student.interval(0.9, freedom, loc=2.0, scale=0.3)
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
    draws = np.random.default_rng(m).standard_normal((1500, m)) * 5 - 2
    plain = [student_estimate(d.mean(), d.std(ddof=1) / math.sqrt(m), m, "test") for d in draws]
    assert held(plain, -2) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 1500))
    careful = [mean_estimate(d, "test") for d in draws]  # wider where so few samples look skewed
    assert held(careful, -2) >= held(plain, -2)
    if m == 40:  # fewer make z itself a Student variable
        assert held(careful, -2) < 0.975
        assert_calibrated(careful[:500], -2.0)


def plainly(samples: np.ndarray) -> Estimate:
    """Return the mean with Student's interval, without a correction for skewness."""
    return student_estimate(samples.mean(), samples.std(ddof=1) / math.sqrt(len(samples)), len(samples), "test")


def test_a_skewed_mean_is_held_nearly_as_often_as_it_says() -> None:
    """The correction halves the missing coverage of Student's interval for chi^2_1, skewness 2.8."""
    draws = np.random.default_rng(0).standard_normal((5000, 32)) ** 2
    plain, careful = held([plainly(d) for d in draws], 1), held([mean_estimate(d, "test") for d in draws], 1)
    assert plain == pytest.approx(0.909, abs=4 * math.sqrt(0.909 * 0.091 / 5000))
    assert 0.925 <= careful <= 0.945
    assert careful - plain > 0.015


@pytest.mark.parametrize("m", [16, 32, 128])
def test_a_normal_mean_is_held_as_often_as_it_says(m: int) -> None:
    draws = np.random.default_rng(m).standard_normal((3000, m)) - 1
    found = [mean_estimate(d, "test") for d in draws]
    fewest, most = binom.ppf([0.0005, 0.9995], len(draws), 0.95)
    assert fewest <= held(found, -1) * len(draws) <= most
    wider = np.mean([e.halfwidth / plainly(d).halfwidth for e, d in zip(found[:500], draws, strict=False)])
    assert wider - 1 == pytest.approx(0.0062 * (32 / m) ** 2, rel=0.5)  # skewness^2 is about 6 / m


def test_the_quantile_has_a_closed_form() -> None:
    """t^4 + 2 t^2 - 3 = (t^2 - 1) (t^2 + 3)."""
    for skewness in [0.3, -0.3, 2.8, -2.8, 1e-7]:
        for m in [2, 32, 200]:
            for t in [1.2, 2.0, 3.5]:
                wanted = t * (1 + skewness**2 * (t**2 - 1) * (t**2 + 3) / (18 * m))
                assert skewed_quantile(t, skewness, m) == pytest.approx(wanted, rel=1e-12)
                assert skewed_quantile(t, skewness, m) == skewed_quantile(t, -skewness, m)


@pytest.mark.parametrize("t", [1.5, 1.96, 3.0])
def test_the_quantile_solves_edgeworths_equation(t: float) -> None:
    """P(|z| <= q) = 2 Phi(q) - 1 - 2 q phi(q) s^2 (q^4 + 2 q^2 - 3) / (18 m) is 2 Phi(t) - 1, up to O(1 / m^2)."""

    def left(skewness: float, m: int) -> float:
        q = skewed_quantile(t, skewness, m)
        term = skewness**2 * (q**4 + 2 * q**2 - 3) / (18 * m)
        return abs(float(2 * norm.cdf(q) - 2 * q * norm.pdf(q) * term - 2 * norm.cdf(t)))

    uncorrected = 2 * t * norm.pdf(t) * (t**4 + 2 * t**2 - 3) / (18 * 10_000)
    assert left(1.0, 10_000) < 0.02 * uncorrected
    assert left(1.0, 10_000) / left(1.0, 40_000) == pytest.approx(16, rel=0.03)


def test_no_skewness_is_student_itself() -> None:
    for t in (0.5, 2.0, 12.7):
        assert skewed_quantile(t, 0.0, 32) == t
    assert skewed_quantile(2.0, 1e-7, 32) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("t", [1.01, 2.0, 12.7])
def test_the_quantile_grows_with_the_skewness_and_falls_with_m(t: float) -> None:
    for sign in (1, -1):
        by_skewness = [skewed_quantile(t, sign * s, 32) for s in (0, 0.1, 0.5, 1, 3, 10)]
        by_number = [skewed_quantile(t, sign * 2.8, m) for m in (2, 8, 32, 1000, 10**9)]
        assert (np.diff(by_skewness) > 0).all()
        assert (np.diff(by_number) < 0).all()
        assert by_skewness[0] == t == pytest.approx(by_number[-1], rel=1e-4)


@pytest.mark.parametrize("t", [0.1, 0.67, 1.0])
def test_the_quantile_is_never_made_smaller(t: float) -> None:
    """Below t = 1 the term is negative, and left out."""
    assert skewed_quantile(t, 2.8, 32) == skewed_quantile(t, -50.0, 4) == t


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


def test_a_higher_confidence_widens_by_the_ratio_of_quantiles() -> None:
    narrow, wide = (student_estimate(2.0, 0.3, 9, "test", level, 12) for level in (0.95, 0.999))
    found = at_confidence(narrow, 0.999)
    assert (found.lower, found.upper) == pytest.approx((wide.lower, wide.upper), rel=1e-12)
    assert (found.confidence, found.stderr, found.num_matvecs) == (0.999, 0.3, 12)
    for unsampled in (Estimate.exact(2.0, "test"), student_estimate(2.0, 0.3, 1, "test")):
        assert at_confidence(unsampled, 0.999) is unsampled


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
