"""A known tr A makes the estimate of tr A^2 sharper, without bias and with the right standard error."""

import math
from functools import cache

import numpy as np
import pytest

from scalecurv.linalg.hutchinson import controlled_square_estimate
from scalecurv.statistics.estimate import Estimate, Status
from tests.calibration import bias

SEEDS = 1000
SPECTRA = {
    "outliers": np.concatenate([10.0 * np.arange(1, 6), np.linspace(0, 0.5, 30)]),
    "power law": 1.0 / np.arange(1.0, 41) ** 0.5,
    "two levels": np.concatenate([np.ones(20), 2 * np.ones(20)]),
    "indefinite": np.linspace(-1, 1.5, 40),
}


@cache
def rows_of_seeds(spectrum: str, m: int) -> np.ndarray:
    """(z'Az, |Az|^2) in the basis of eigenvectors, where a Gaussian probe is one too; shape (seeds, m, 2)."""
    lam = SPECTRA[spectrum]
    squares = np.random.default_rng(m).standard_normal((SEEDS, m, len(lam))) ** 2
    return np.stack([squares @ lam, squares @ lam**2], axis=2)


@cache
def estimates(spectrum: str, m: int) -> list[Estimate]:
    trace = SPECTRA[spectrum].sum()
    return [controlled_square_estimate(rows, trace, "test") for rows in rows_of_seeds(spectrum, m)]


def test_it_is_unbiased_and_calibrated() -> None:
    for m in [32, 64]:
        for spectrum in SPECTRA:
            lam = SPECTRA[spectrum]
            found = estimates(spectrum, m)
            truth = (lam**2).sum()
            values = np.array([e.value for e in found])
            assert abs(bias(values, truth)) < 4
            said = np.sqrt(np.mean([e.stderr**2 for e in found]))
            assert said == pytest.approx(values.std(), rel=0.12)
            covered = np.mean([e.lower <= truth <= e.upper for e in found])
            assert 0.925 <= covered <= 0.975


def test_equal_eigenvalues_leave_nothing_open() -> None:
    z = np.random.default_rng(0).standard_normal((32, 20))
    rows = np.stack([3 * (z**2).sum(1), 9 * (z**2).sum(1)], axis=1)
    found = controlled_square_estimate(rows, 60.0, "test")
    assert found.value == pytest.approx(180, rel=1e-12)
    assert found.stderr < 1e-10


def test_the_variance_falls_as_the_theory_says() -> None:
    """The variance is 1 - t3^2 / (t2 t4) times that of the plain mean, 2 t4 / m."""
    m = 64
    for spectrum, lam in SPECTRA.items():
        t2, t3, t4 = ((lam**k).sum() for k in (2, 3, 4))
        values = [e.value for e in estimates(spectrum, m)]
        plain = rows_of_seeds(spectrum, m)[:, :, 1].mean(1)
        assert np.var(plain, ddof=1) == pytest.approx(2 * t4 / m, rel=0.16)
        theory = 2 * t4 / m * (1 - t3**2 / (t2 * t4))
        assert np.var(values, ddof=1) == pytest.approx(theory * (m - 1) / (m - 4), rel=0.16)  # a slope was fitted, too


def test_it_is_the_regression_and_the_jackknife_with_the_loop() -> None:
    rows, trace, m = rows_of_seeds("outliers", 32)[0][:9], 170.0, 9

    def plain(rows: np.ndarray) -> float:
        x, w = rows.T
        slope = np.cov(x, w)[0, 1] / np.var(x, ddof=1)
        return float(w.mean() - slope * (x.mean() - trace))

    without = np.array([plain(np.delete(rows, i, axis=0)) for i in range(m)])
    pseudo = m * plain(rows) - (m - 1) * without
    found = controlled_square_estimate(rows, trace, "test", 0.9)
    assert found.value == pytest.approx(pseudo.mean(), rel=1e-10)
    assert found.stderr == pytest.approx(pseudo.std(ddof=1) / 3, rel=1e-9)
    assert (found.num_samples, found.num_matvecs, found.confidence, found.status) == (9, 9, 0.9, Status.BUDGET)


def test_units() -> None:
    rows = rows_of_seeds("outliers", 32)[0]
    plain = controlled_square_estimate(rows, 170.0, "test")
    for c in (1e-12, 1e12):
        moved = controlled_square_estimate(rows * [c, c * c], 170.0 * c, "test")
        for name in ("value", "stderr", "lower", "upper"):
            assert getattr(moved, name) / c**2 == pytest.approx(getattr(plain, name), rel=1e-9)


def test_equal_traces_teach_nothing() -> None:
    rows = np.array([[7.0, 1.0], [7.0, 2.0], [7.0, 6.0], [7.0, 3.0]])
    found = controlled_square_estimate(rows, 7.0, "test")
    assert found.value == pytest.approx(3.0, rel=1e-12)
    assert found.stderr == pytest.approx(np.std([1, 2, 6, 3], ddof=1) / 2, rel=1e-12)


@pytest.mark.parametrize("trace", [7.0, 0.3, -1e6])
def test_traces_that_are_equal_up_to_rounding_teach_nothing(trace: float) -> None:
    """The spread of 40 rounded numbers is rounding, and a slope from it would be rounding too."""
    x, w = np.full(40, 0.1), np.random.default_rng(0).standard_normal(40) ** 2
    for shaken in (x, x * (1 + 2.0**-52 * (np.arange(40) % 3))):
        found = controlled_square_estimate(np.stack([shaken, w], axis=1), trace, "test")
        assert found.value == pytest.approx(w.mean(), rel=1e-12)
        assert found.stderr == pytest.approx(w.std(ddof=1) / math.sqrt(40), rel=1e-12)


def test_a_small_spread_is_still_a_lesson() -> None:
    """w = 3 x, and x off its trace by 10^4 times its spread: that is a slope of 3, not rounding."""
    x = 0.1 * (1 + 5e-3 * np.random.default_rng(0).standard_normal(40))
    found = controlled_square_estimate(np.stack([x, 3 * x], axis=1), 7.0, "test")
    assert found.value == pytest.approx(3 * 7.0, rel=1e-3)


def test_an_overflow_is_a_failed_estimate() -> None:
    rows = np.array([[1e200, 1e200], [2e200, 1.0], [-1e200, 1.0], [3e200, 1.0]])
    assert controlled_square_estimate(rows, 1.0, "test").status is Status.FAILED
