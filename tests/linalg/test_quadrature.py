"""A k-node rule integrates every polynomial of degree 2k - 1, and its residuals say how far an eigenvalue is."""

import numpy as np
import pytest
import torch
from numpy.polynomial import Chebyshev

from scalecurv.linalg.dense import DenseOperator
from scalecurv.linalg.lanczos import lanczos
from scalecurv.linalg.probes import probes
from scalecurv.linalg.quadrature import Quadrature
from tests.matrices import SPECTRA, symmetric


def rule_and_measure(spectrum: str, steps: int) -> tuple[Quadrature, np.ndarray, np.ndarray]:
    """The rule, and the spectral measure it stands for: eigenvalues with their weights in the start vector."""
    A = symmetric(SPECTRA[spectrum])
    q = probes(80, 2, "test", [0], "gaussian")[:, 0]
    eigenvalues, vectors = np.linalg.eigh(A.numpy())
    weights = (vectors.T @ (q / q.norm()).numpy()) ** 2
    return lanczos(DenseOperator(A), q, steps).quadrature, eigenvalues, weights


@pytest.mark.parametrize("spectrum", ["outliers", "power law", "indefinite", "negative"])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_exact_up_to_degree_2k_minus_1_and_no_further(spectrum: str, steps: int) -> None:
    rule, eigenvalues, weights = rule_and_measure(spectrum, steps)
    domain = (eigenvalues.min(), eigenvalues.max())
    for degree in range(2 * steps + 1):
        f = Chebyshev.basis(degree, domain)
        error = abs(rule.integrate(f) - weights @ f(eigenvalues))
        assert error < 1e-13 if degree < 2 * steps else error > 1e-9


def test_an_eigenvalue_lies_within_the_residual_of_every_node() -> None:
    rule, eigenvalues, _ = rule_and_measure("outliers", 12)
    distance = np.abs(rule.nodes[:, None] - eigenvalues).min(1)
    assert bool((distance <= rule.residuals + 1e-12).all())
    assert rule.residuals[-1] < 1e-6 < rule.residuals[4]  # the outliers have converged, the bulk has not


def test_residuals_are_those_of_the_ritz_vectors() -> None:
    A = symmetric(SPECTRA["indefinite"])
    found = lanczos(DenseOperator(A), torch.ones(80), 6)
    U = found.basis @ torch.from_numpy(found.quadrature.small_vectors)
    residuals = (A @ U - U * torch.from_numpy(found.quadrature.nodes)).norm(dim=0)
    np.testing.assert_allclose(found.quadrature.residuals, residuals, atol=1e-13)
