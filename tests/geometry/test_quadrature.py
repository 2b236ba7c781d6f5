"""Gauss rules of random measures: their Jacobi matrices, and brackets that hold the integral for every measure."""

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal
from scipy.special import betaincinv

from scalecurv.geometry.quadrature import bracket_of_form, jacobi_matrix, log_reach, smallest_bound
from tests.matrices import gauss_rule

SPECTRA = {
    "flat": np.linspace(0, 1, 60),
    "outliers": np.r_[np.linspace(0, 0.1, 50), 2.0, 7.0, 40.0],
    "indefinite": np.r_[np.linspace(-0.5, 0.5, 50), 3.0],
    "power law": 1 / np.arange(1.0, 80) ** 2,
    "few": np.array([1.0, 3.0]),
}


def test_the_jacobi_matrix_of_a_rule_is_that_of_its_run() -> None:
    rng = np.random.default_rng(0)
    for values in SPECTRA.values():
        for steps in (1, 2, min(9, len(values))):
            nodes, weights = gauss_rule(values, rng.standard_normal(len(values)), steps)
            diagonal, beside = jacobi_matrix(nodes, 3 * weights)  # the scale of the weights does not count
            found, vectors = eigh_tridiagonal(diagonal, beside)
            assert found == pytest.approx(nodes, abs=1e-12 * np.abs(values).max())
            assert vectors[0] ** 2 == pytest.approx(weights, abs=1e-12)


def test_a_rule_with_coinciding_nodes_or_without_weight_is_smaller() -> None:
    diagonal, beside = jacobi_matrix(np.array([1.0, 1.0, 3.0]), np.array([0.25, 0.25, 0.5]))
    assert (diagonal.round(12).tolist(), beside.round(12).tolist()) == ([2.0, 2.0], [1.0])
    assert len(jacobi_matrix(np.array([1.0, 2.0]), np.array([1.0, 0.0]))[0]) == 1


def test_brackets_hold_every_start_and_close() -> None:
    rng = np.random.default_rng(0)
    for values in SPECTRA.values():
        low, rank = float(values.min()), len(np.unique(values))
        for alpha in (1e-3, 0.1, 10.0):
            shift = alpha + abs(low)
            for f in (lambda t, a=shift: t / (t + a), lambda t, a=shift: np.log(t + a)):
                for _ in range(5):
                    start = rng.standard_normal(len(values))
                    truth = start**2 @ f(values) / (start @ start)
                    widths = []
                    for steps in (1, 2, 4, 8, 16):
                        rule = gauss_rule(values, start, min(steps, rank))
                        lower, upper = bracket_of_form(*rule, f, low - 1e-9)
                        rounding = 1e-9 * max(np.abs(f(values)).max(), 1)
                        assert lower - rounding <= truth <= upper + rounding
                        widths.append(upper - lower)
                    assert (np.diff(widths) <= 1e-7 + 1e-6 * widths[0]).all()
                    if alpha == 10.0:
                        assert widths[-1] < 1e-6 * widths[0] + 1e-7


def test_the_bound_on_the_smallest_eigenvalue_fails_as_seldom_as_it_says() -> None:
    rng, chance = np.random.default_rng(0), 0.1
    values = np.linspace(-1, 5, 40)
    reach = log_reach(len(values), chance)
    bounds = [smallest_bound(*gauss_rule(values, rng.standard_normal(40), 12), reach) for _ in range(400)]
    assert np.mean(np.array(bounds) > -1) < chance + 3 * (chance / 400) ** 0.5
    assert np.median(bounds) > -1.5  # and is of use
    assert smallest_bound(np.array([2.0]), np.array([1.0]), reach) == -np.inf


def test_reach_is_a_quantile() -> None:
    for n in (2, 3, 4, 30, 10**6):
        for chance in (1e-3, 0.2):
            quantile = -0.5 * np.log(betaincinv(0.5, (n - 1) / 2, chance))
            assert quantile - 1e-6 <= log_reach(n, chance) <= quantile + 0.5
