"""A k-node rule integrates every polynomial of degree 2k - 1, and its residuals bound the distance of an eigenvalue."""

import numpy as np
import pytest
import torch
from numpy.polynomial import Chebyshev

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import Lanczos, lanczos
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, symmetric


def run_and_measure(spectrum: str, steps: int) -> tuple[Lanczos, np.ndarray, np.ndarray]:
    """Return the run and its spectral measure: the eigenvalues with their weights in the start vector."""
    A = symmetric(SPECTRA[spectrum])
    q = probes(80, 2, "test", [0], "gaussian")[:, 0]
    eigenvalues, vectors = np.linalg.eigh(A.numpy())
    weights = (vectors.T @ (q / q.norm()).numpy()) ** 2
    return lanczos(DenseOperator(A), q, steps), eigenvalues, weights


def test_exact_up_to_degree_2k_minus_1_and_no_further() -> None:
    for spectrum in ["outliers", "power law", "indefinite", "negative"]:
        for steps in [1, 4, 9]:
            run, eigenvalues, weights = run_and_measure(spectrum, steps)
            low, high = eigenvalues.min(), eigenvalues.max()
            errors = [
                weights @ f(eigenvalues) - run.quadrature.weights @ f(run.quadrature.nodes)
                for f in (Chebyshev.basis(degree, (low, high)) for degree in range(2 * steps + 1))
            ]
            assert np.abs(errors[:-1]).max() < 1e-12
            leading = (4 / (high - low)) ** (2 * steps) / 2  # of the Chebyshev polynomial of degree 2k
            assert errors[-1] == pytest.approx(leading * np.prod(run.betas) ** 2, rel=1e-6, abs=1e-12)


def test_an_eigenvalue_lies_within_the_residual_of_every_node() -> None:
    run, eigenvalues, _ = run_and_measure("outliers", 12)
    rule = run.quadrature
    distance = np.abs(rule.nodes[:, None] - eigenvalues).min(1)
    assert bool((distance <= rule.residuals + 1e-12).all())
    assert rule.residuals[-1] < 1e-6 < rule.residuals[4]  # the outliers have converged, the bulk has not


def test_residuals_are_those_of_the_ritz_vectors() -> None:
    A = symmetric(SPECTRA["indefinite"])
    found = lanczos(DenseOperator(A), torch.ones(80), 6)
    U = found.basis @ torch.from_numpy(found.quadrature.small_vectors)
    residuals = (A @ U - U * torch.from_numpy(found.quadrature.nodes)).norm(dim=0)
    np.testing.assert_allclose(found.quadrature.residuals, residuals, atol=1e-12)
