"""Traces from probes are exact for diagonal matrices and calibrated for others."""

from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch

from scalecurv.linalg import hutchinson
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.hutchinson import STREAM, terms, trace_estimate, trace_square_estimate
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import Status
from tests.calibration import assert_calibrated
from tests.matrices import SPECTRA, symmetric

DRAWN = cache(probes)  # all spectra share the probes of a seed


@cache
def rows_of_seeds(spectrum: str) -> list[np.ndarray]:
    """Return the terms of 40 probes for each of 200 seeds, each seed with its own rotation of the spectrum."""
    with patch.object(hutchinson, "probes", DRAWN):
        return [terms(DenseOperator(symmetric(SPECTRA[spectrum], seed)), seed, range(40)) for seed in range(200)]


def test_rows_are_what_they_say() -> None:
    A = symmetric(SPECTRA["indefinite"])
    operator = CountingOperator(DenseOperator(A))
    rows = terms(operator, 5, [4, 0, 9])
    Z = probes(80, 5, STREAM, [4, 0, 9])
    np.testing.assert_allclose(rows[:, 0], torch.diag(Z.T @ A @ Z), rtol=1e-12)
    np.testing.assert_allclose(rows[:, 1], torch.diag(Z.T @ A @ A @ Z), rtol=1e-12)
    assert rows.dtype == np.float64
    assert operator.num_matvecs == 3


def test_diagonal_matrices_need_one_probe() -> None:
    diagonal = np.arange(-3.0, 9.0)
    rows = terms(DenseOperator(torch.diag(torch.from_numpy(diagonal))), 0, range(5))
    assert rows.tolist() == [[diagonal.sum(), (diagonal**2).sum()]] * 5
    estimate = trace_estimate(rows)
    assert (estimate.value, estimate.stderr, estimate.halfwidth) == (diagonal.sum(), 0, 0)


def test_trace_is_calibrated_whatever_the_rotation() -> None:
    for spectrum in SPECTRA:
        estimates = [trace_estimate(rows) for rows in rows_of_seeds(spectrum)]
        assert_calibrated(estimates, SPECTRA[spectrum].sum())


def test_trace_of_the_square_is_calibrated_whatever_the_rotation() -> None:
    for spectrum in SPECTRA:
        estimates = [trace_square_estimate(rows) for rows in rows_of_seeds(spectrum)]
        assert_calibrated(estimates, (SPECTRA[spectrum] ** 2).sum())


def test_the_variance_of_a_term_is_that_of_the_theory() -> None:
    """2 (|A|_F^2 - sum_i a_ii^2) for signs; a Gaussian probe would leave out the second part."""
    A = symmetric(np.linspace(1, 2, 12), 3) + 4 * torch.eye(12)
    x = terms(DenseOperator(A), 0, range(4000))[:, 0]
    theory = 2 * float((A**2).sum() - (torch.diag(A) ** 2).sum())
    assert np.var(x, ddof=1) == pytest.approx(theory, rel=5 * (3 / 4000) ** 0.5)


def test_shift_and_scale_map_every_term() -> None:
    A, (c, s), n = symmetric(SPECTRA["outliers"]), (-0.3, 2.0), 80
    x, w = terms(DenseOperator(A), 2, range(6)).T
    moved = terms(DenseOperator(c * A + s * torch.eye(n)), 2, range(6))
    np.testing.assert_allclose(moved[:, 0], c * x + s * n, rtol=1e-12)  # z'z = n for signs
    np.testing.assert_allclose(moved[:, 1], c * c * w + 2 * c * s * x + s * s * n, rtol=1e-12)


@pytest.mark.parametrize("blocks", [[range(9)], [range(8, -1, -1)], [[0], range(1, 7), [8, 7]]])
def test_terms_belong_to_probes_not_to_blocks(blocks: list[range]) -> None:
    operator = DenseOperator(symmetric(SPECTRA["power law"]))
    whole = terms(operator, 1, range(9))
    for ids in blocks:
        np.testing.assert_allclose(terms(operator, 1, ids), whole[list(ids)], rtol=1e-12)


def test_single_precision_products_make_double_precision_terms() -> None:
    A = symmetric(SPECTRA["power law"])
    single, double = (terms(DenseOperator(M), 0, range(4)) for M in (A.float(), A))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_a_square_is_not_negative() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert trace_square_estimate(rows).lower == 0
    assert trace_estimate(rows[:, ::-1]).lower < 0


def test_an_overflow_is_a_failed_estimate() -> None:
    rows = terms(DenseOperator(1e200 * symmetric(SPECTRA["indefinite"])), 0, range(40))
    assert trace_square_estimate(rows).status is Status.FAILED
    assert trace_estimate(rows).status is Status.FAILED  # its standard error overflows
    assert trace_estimate(rows).num_matvecs == 40
