"""The bound is the sum that its docstring says, in closed form where the Gaussian sits in the middle."""

import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebinterpolate
from scipy.special import ive
from scipy.stats import norm

from scalecurv.results.truncation import truncation_bound

UNIT = (-1.0, 1.0)
WIDTHS = [2.0, 0.5, 0.1, 0.02, 0.004]
MIDDLE = np.zeros(1)


def closed_form(num_nodes: int, width: float) -> float:
    """2 sum_{j >= 2k} |c_j| of N(t; 0, width^2) on [-1, 1]: c_2m = +-2 exp(-a) I_m(a), a = 1 / 4 width^2."""
    m = np.arange(num_nodes, num_nodes + 20 + int(20 / width))
    return float(norm.pdf(0, 0, width) * 4 * ive(m, 1 / (4 * width**2)).sum())


def test_in_the_middle_it_is_a_sum_of_bessel_functions() -> None:
    for width in WIDTHS:
        for num_nodes in [1, 2, 7, 30, 200]:
            peak = norm.pdf(0, 0, width)
            found, truth = truncation_bound(num_nodes, width, MIDDLE, UNIT), min(closed_form(num_nodes, width), peak)
            assert found >= truth * (1 - 1e-9)
            assert found <= truth * (1 + 1e-9) + 1e-12 * peak


@pytest.mark.parametrize("num_nodes", [1, 3, 8])
def test_of_a_grid_the_worst_point_counts(num_nodes: int) -> None:
    """Off the middle odd degrees count too; an interpolant of degree 64 has the coefficients to rounding."""
    grid, width, peak = np.array([0.3, -0.9, 1.4]), 0.3, norm.pdf(0, 0, 0.3)
    tails = [np.abs(chebinterpolate(norm.pdf, 64, (t, width))[2 * num_nodes :]).sum() for t in grid]
    bounds = [min(2 * tail, peak) for tail in tails]
    found = [truncation_bound(num_nodes, width, np.array([t]), UNIT) for t in grid]
    assert found == pytest.approx(bounds, rel=1e-7)
    assert truncation_bound(num_nodes, width, grid, UNIT) == pytest.approx(max(found), rel=1e-12)


def test_the_worst_point_of_a_grid_too_long_to_expand_at_once() -> None:
    """The middle of the interval lies in one of several blocks, all other centres far outside."""
    width, alone = 0.004, truncation_bound(400, 0.004, MIDDLE, UNIT)
    for place in (0, 1500, 2999):
        grid = np.full(3000, 5.0)
        grid[place] = 0
        assert truncation_bound(400, width, grid, UNIT) == pytest.approx(alone, rel=1e-9)
    assert truncation_bound(400, width, np.full(3000, 5.0), UNIT) < 1e-12 < 1e-3 * alone


@pytest.mark.parametrize("num_nodes", [2, 5])
def test_it_follows_the_unit_of_the_spectrum(num_nodes: int) -> None:
    grid = np.array([-0.8, 0.1, 0.7])
    here, there = (
        truncation_bound(num_nodes, 0.3, grid, UNIT),
        truncation_bound(num_nodes, 1.2, 7 + 4 * grid, (3.0, 11.0)),
    )
    assert 4 * there == pytest.approx(here, rel=1e-12)


@pytest.mark.parametrize("num_nodes", [10_000, 20_000, 30_000, 40_000])
def test_widths_too_narrow_to_expand_have_a_bound_too(num_nodes: int) -> None:
    width = 1e-4
    found, peak = truncation_bound(num_nodes, width, MIDDLE, UNIT), norm.pdf(0, 0, width)
    assert min(closed_form(num_nodes, width), peak) <= found * (1 + 1e-12) <= peak * (1 + 2e-12)
    if num_nodes >= 30_000:
        assert 0 < found < 1e-3 * peak


@pytest.mark.parametrize("width", [1e-12, 1e-6])
def test_two_numbers_below_the_peak_differ_by_no_more_than_that(width: float) -> None:
    assert truncation_bound(50, width, MIDDLE, UNIT) == pytest.approx(norm.pdf(0, 0, width), rel=1e-12)
