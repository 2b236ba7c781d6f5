"""The proven interval for tr A^2 from a few probes holds, and is not much wider than it must be."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from scalecurv.linalg.hutchinson import squared_norm_estimate
from scalecurv.statistics.estimate import Status

DRAWS = 1000
SQUARES = {  # eigenvalues of A^2, the largest 1
    "equal": np.ones(12),
    "one alone": np.array([1.0]),
    "power law": 1.0 / np.arange(1.0, 31) ** 2,
}


def draws(spectrum: str, m: int) -> np.ndarray:
    """Return |A z_i|^2 = sum_j a_j^2 g_ij^2, shape (draws, m)."""
    g = np.random.default_rng(m).standard_normal((DRAWS, m, len(SQUARES[spectrum])))
    return g**2 @ SQUARES[spectrum]


def test_it_holds_at_least_as_often_as_it_says() -> None:
    for over in [1.0, 1.5]:
        for m in [1, 2, 4, 16]:
            for spectrum in SQUARES:
                truth = SQUARES[spectrum].sum()
                found = [
                    squared_norm_estimate(w, over, 0.8, "test", m) for w in draws(spectrum, m)[:: 1 if over == 1 else 4]
                ]
                below = sum(truth < e.lower for e in found)
                above = sum(truth > e.upper for e in found)
                for failed in (below, above):  # each side has its own half of the risk
                    assert failed <= binom.ppf(0.999, len(found), 0.1)
                if over == 1 and spectrum == "equal":  # Chernoff is not far from the truth there
                    assert below + above >= len(found) * 0.2 / 20


def test_its_ends_solve_the_equation() -> None:
    for confidence in [0.5, 0.95, 1 - 1e-6]:
        for bound in [0.1, 1.0, 3.0]:
            for squares in [[2.0], [0.3, 0.9], [5.0, 7.0, 6.0, 9.0]]:
                found = squared_norm_estimate(np.array(squares), bound, confidence, "test", 9)
                w, m, risk = np.mean(squares), len(squares), math.log(2 / (1 - confidence))
                assert (found.value, found.confidence, found.num_samples, found.num_matvecs) == (w, confidence, m, 9)
                assert found.status is Status.BUDGET
                assert math.isnan(found.stderr)
                for S in (found.lower, found.upper):
                    if S > 0:
                        rate = m * (w - S - S * math.log(w / S)) / (2 * bound**2)
                        assert rate == pytest.approx(risk, rel=1e-10, abs=1e-10 * m * w / bound**2)
                assert found.lower < w < found.upper
                assert (found.lower == 0) == (m * w / (2 * bound**2) <= risk)  # even S -> 0 is not excluded


def test_more_values_and_a_smaller_norm_make_it_shorter() -> None:
    widths = [squared_norm_estimate(np.full(m, 3.0), 1.0, 0.95, "test", m).halfwidth for m in (1, 2, 4, 16, 256)]
    assert widths == sorted(set(widths), reverse=True)
    assert widths[-2] / widths[-1] == pytest.approx(4, rel=0.05)  # 1 / sqrt(m) in the end
    widths = [squared_norm_estimate(np.full(4, 3.0), s, 0.95, "test", 4).halfwidth for s in (3.0, 1.0, 0.5, 0.01)]
    assert widths == sorted(set(widths), reverse=True)
    assert widths[-2] / widths[-1] == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_it_is_not_vacuous(confidence: float) -> None:
    """For equal eigenvalues it is sqrt(2 ln(2 / delta)) / z times as wide as the normal interval z sqrt(2 t_4 / m)."""
    n, m = 100, 400
    price = squared_norm_estimate(np.full(m, float(n)), 1.0, confidence, "test", m).halfwidth / (
        norm.ppf((1 + confidence) / 2) * math.sqrt(2 * n / m)
    )
    assert price == pytest.approx(
        math.sqrt(2 * math.log(2 / (1 - confidence))) / norm.ppf((1 + confidence) / 2), rel=0.01
    )
    assert price < 1.7


def test_units() -> None:
    plain = squared_norm_estimate(np.array([3.0, 4.0]), 1.2, 0.95, "test", 2)
    for c in (1e-10, 1e10):
        moved = squared_norm_estimate(c**2 * np.array([3.0, 4.0]), 1.2 * c, 0.95, "test", 2)
        for name in ("value", "lower", "upper"):
            assert getattr(moved, name) / c**2 == pytest.approx(getattr(plain, name), rel=1e-9)


def test_the_limits() -> None:
    for norm_bound in (0.0, 3.0):  # Az = 0 at a Gaussian z: A is zero
        nothing = squared_norm_estimate(np.zeros(4), norm_bound, 0.95, "test", 3)
        assert (nothing.value, nothing.lower, nothing.upper, nothing.status) == (0, 0, 0, Status.BUDGET)
    rounding = squared_norm_estimate(np.array([1e-30, 3e-30]), 0.0, 0.95, "test", 2)
    assert (rounding.value, rounding.lower, rounding.upper) == (2e-30, 0, 2e-30)
    broken = squared_norm_estimate(np.array([1.0, math.inf]), 1.0, 0.95, "test", 2)
    assert (broken.status, broken.num_samples, broken.num_matvecs) == (Status.FAILED, 2, 2)
    assert math.isnan(broken.value)


@pytest.mark.parametrize("bound", [math.inf, math.nan])
@pytest.mark.parametrize("squares", [[2.0, 4.0], [0.0, 0.0]])
def test_without_a_bound_nothing_is_known(squares: list[float], bound: float) -> None:
    found = squared_norm_estimate(np.array(squares), bound, 0.9, "test", 5)
    assert (found.value, found.lower, found.upper) == (np.mean(squares), 0, math.inf)
    assert (found.status, found.confidence, found.num_samples, found.num_matvecs) == (Status.BUDGET, 0.9, 2, 5)
    assert not found.within(1e9)


def test_a_growing_bound_leads_there() -> None:
    """As the bound on the norm grows, the upper end grows without limit and the lower end becomes 0."""
    found = [squared_norm_estimate(np.array([2.0, 4.0]), s, 0.95, "test", 2) for s in (1.0, 1e3, 1e6, 1e9)]
    uppers = [e.upper for e in found]
    assert uppers == sorted(set(uppers))
    assert uppers[-1] > 1e12
    assert [e.lower for e in found[1:]] == [0, 0, 0]
