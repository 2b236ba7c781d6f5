"""Scalar curvature from probes is unbiased and its standard error is calibrated."""

from functools import cache, partial

import numpy as np
import pytest

from scalecurv.geometry.scalar import scalar_curvature_estimate, scalar_curvature_of
from scalecurv.statistics.estimate import Status
from tests.calibration import assert_calibrated, bias
from tests.matrices import SPECTRA, symmetric

SLOPES = {"flat": 0.0, "sloped": 0.1, "steep": 2.0}
SIGNS = np.random.default_rng(2).choice([-1.0, 1.0], (25_600, 80))  # the probes of all seeds and spectra


class Point:
    """A symmetric matrix and a gradient, with the arguments of the estimator and the exact K."""

    def __init__(self, spectrum: str, slope: str):
        self.H = symmetric(SPECTRA[spectrum], 3).numpy()
        g = SLOPES[slope] * np.random.default_rng(4).standard_normal(80)
        Hg = self.H @ g
        self.given = {"beta": 1 / (1 + g @ g), "ghg": float(g @ Hg), "gh2g": float(Hg @ Hg)}
        T, F = np.trace(self.H), np.sum(self.H**2)
        self.curvature = scalar_curvature_of(T, T * T, F, **self.given)


@cache
def point_of(spectrum: str, slope: str) -> Point:
    return Point(spectrum, slope)


@cache
def rows_of_seeds(spectrum: str, num_seeds: int, num_terms: int) -> np.ndarray:
    """Return terms (z'Hz, |Hz|^2) of shape (seeds, terms, 2)."""
    Z = SIGNS[: num_seeds * num_terms]
    HZ = Z @ point_of(spectrum, "flat").H
    return np.stack([(Z * HZ).sum(1), (HZ * HZ).sum(1)], axis=1).reshape(num_seeds, num_terms, 2)


def test_it_is_calibrated() -> None:
    for spectrum in SPECTRA:
        for slope in SLOPES:
            point = point_of(spectrum, slope)
            estimates = [scalar_curvature_estimate(rows, **point.given) for rows in rows_of_seeds(spectrum, 200, 128)]
            assert_calibrated(estimates, point.curvature)


def test_it_is_unbiased_where_a_squared_mean_is_not() -> None:
    for spectrum in ("outliers", "indefinite"):
        few = rows_of_seeds(spectrum, 3000, 5)
        for slope in ("flat", "steep"):
            point = point_of(spectrum, slope)
            values = np.array([scalar_curvature_estimate(rows, **point.given).value for rows in few])
            assert abs(bias(values, point.curvature)) < 4
            x, w = few.mean(1).T
            naive = scalar_curvature_of(x, x**2, w, **point.given)
            assert bias(naive, point.curvature) > 6  # the same question, and it fails


def test_the_jackknife_is_the_one_with_the_loop() -> None:
    point = Point("indefinite", "sloped")
    rows, m = rows_of_seeds("indefinite", 1, 9)[0], 9
    ask = partial(scalar_curvature_estimate, **point.given)
    whole = ask(rows)
    pairs = sum(rows[i, 0] * rows[j, 0] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    x, w = rows.mean(0)
    assert whole.value == pytest.approx(scalar_curvature_of(x, pairs, w, **point.given), rel=1e-12)
    without = np.array([ask(np.delete(rows, i, axis=0)).value for i in range(m)])
    assert whole.stderr**2 == pytest.approx((m - 1) / m * np.sum((without - without.mean()) ** 2), rel=1e-9)
    assert (whole.num_samples, whole.num_matvecs, whole.status) == (m, m, Status.BUDGET)


def test_equal_terms_leave_no_doubt() -> None:
    estimate = scalar_curvature_estimate(np.array([[3.0, 5.0]] * 4), beta=0.5, ghg=1.0, gh2g=2.0)
    assert estimate.value == 0.5 * (9 - 5) + 2 * 0.25 * (2 - 3)
    assert estimate.stderr == 0


def test_two_terms_are_too_few() -> None:
    with pytest.raises(ValueError, match=r"^2 term\(s\): the jackknife of a U-statistic needs at least 3$"):
        scalar_curvature_estimate(np.ones((2, 2)), 1.0, 0.0, 0.0)


def test_an_overflow_is_a_failed_estimate() -> None:
    rows = np.array([[1e200, 1.0], [2e200, 1.0], [-1e200, 1.0], [3e200, 1.0]])
    assert scalar_curvature_estimate(rows, 1.0, 0.0, 0.0).status is Status.FAILED
