"""The bound on the largest eigenvalue fails no more often than it says, and is not loose."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import betainc, betaincinv
from scipy.stats import binom

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.extremes import largest_eigenvalue_bound
from scalecurv.linalg.krylov.lanczos import Lanczos, lanczos
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, symmetric

STARTS = 150
ROUNDING = 1e-12


@cache
def runs(spectrum: str) -> list[tuple[Lanczos, float]]:
    """Return Lanczos runs from many starts, with the share of each start in the top eigenvector."""
    A = symmetric(SPECTRA[spectrum])
    operator, u = DenseOperator(A), np.linalg.eigh(A.numpy())[1][:, -1]
    starts = [probes(80, seed, "test", [0], "gaussian")[:, 0] for seed in range(STARTS)]
    return [(lanczos(operator, q, 8), abs(float(u @ q.numpy())) / float(q.norm())) for q in starts]


def test_it_fails_no_more_often_than_delta() -> None:
    for delta in [0.02, 0.1]:
        for spectrum in ["outliers", "power law", "indefinite", "negative"]:
            top = SPECTRA[spectrum].max()
            size = abs(SPECTRA[spectrum]).max()
            bounds = np.array([largest_eigenvalue_bound(r.alphas, r.betas, 80, delta) for r, _ in runs(spectrum)])
            failed = bounds < top - ROUNDING * size
            assert failed.sum() <= binom.ppf(0.99, STARTS, delta)
            least = np.sqrt(betaincinv(0.5, 79 / 2, delta))
            assert not failed[[share >= least for _, share in runs(spectrum)]].any()  # it can fail for no other reason


def test_two_levels_fail_exactly_as_often_as_theory_says() -> None:
    """Spectrum (1, 0, 0, ...) after one step: p_1(1) = s/c for a start with shares c and s, against 1/d."""
    n, m = 40, 2000
    q = np.random.default_rng(3).standard_normal((n, m))
    c2 = q[0] ** 2 / (q**2).sum(0)
    for delta in (0.02, 0.3):
        bounds = [largest_eigenvalue_bound(np.array([c]), np.array([np.sqrt(c - c * c)]), n, delta) for c in c2]
        d2 = betaincinv(0.5, (n - 1) / 2, delta)
        expected = betainc(0.5, (n - 1) / 2, d2 / (1 + d2))
        low, high = binom.ppf([1e-4, 1 - 1e-4], m, expected)
        assert low <= sum(b < 1 for b in bounds) <= high


def test_it_closes_in_on_an_outlier() -> None:
    A = symmetric(SPECTRA["outliers"])
    found = lanczos(DenseOperator(A), probes(80, 0, "test", [0], "gaussian")[:, 0], 20)
    gaps = [largest_eigenvalue_bound(found.alphas[:k], found.betas[:k], 80, 1e-3) / 50 - 1 for k in (3, 5, 7, 9, 20)]
    assert all(later < sooner / 2 for sooner, later in pairwise(gaps))
    assert gaps[3] < 1e-5
    assert gaps[4] < 1e-10


def test_it_moves_with_the_matrix() -> None:
    run = runs("power law")[0][0]
    bound = largest_eigenvalue_bound(run.alphas, run.betas, 80, 0.01)
    for c, s in ((1e-12, 0.0), (1e12, 0.0), (3.0, -7.0)):
        moved = largest_eigenvalue_bound(c * run.alphas + s, c * run.betas, 80, 0.01)
        assert moved == pytest.approx(c * bound + s, rel=1e-9)


def test_more_confidence_is_a_higher_bound() -> None:
    run = runs("power law")[0][0]
    bounds = [largest_eigenvalue_bound(run.alphas, run.betas, 80, delta) for delta in (0.5, 0.1, 1e-3, 1e-9)]
    assert bounds == sorted(set(bounds))
    assert bounds[0] > run.quadrature.nodes[-1]


@pytest.mark.parametrize(("alphas", "betas", "n"), [([2.0, 1.0], [0.5, 0.0], 9), ([0.0], [0.0], 9), ([-3.0], [1.0], 1)])
def test_an_invariant_space_leaves_nothing_open(alphas: list[float], betas: list[float], n: int) -> None:
    top = np.linalg.eigvalsh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))[-1]
    bound = largest_eigenvalue_bound(np.array(alphas), np.array(betas), n, 1e-3)
    assert bound == pytest.approx(top, rel=1e-12)


def test_a_small_residual_is_not_none() -> None:
    """p_1(t) = (t - alpha) / beta is 1 / d at alpha + beta / d, however small beta is beside alpha."""
    for beta in [1e-3, 1e-9, 1e-15]:
        for n in [2, 9, 10**6]:
            bound = largest_eigenvalue_bound(np.array([2.0]), np.array([beta]), n, 1e-3)
            assert bound - 2 == pytest.approx(beta / np.sqrt(betaincinv(0.5, (n - 1) / 2, 1e-3)), rel=1e-2, abs=4e-12)
            assert bound > 2
