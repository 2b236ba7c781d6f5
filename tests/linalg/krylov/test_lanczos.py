"""A Q = Q T + r e_k' with Q orthonormal, in the easy cases and in those that break."""

import re

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import Lanczos, lanczos
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, orthogonal, symmetric

HARD = {
    **SPECTRA,
    "repeated": np.repeat([3.0, 1.0, -2.0, 0.0], 20),
    "steep": 2.0 ** -np.arange(60.0),
    "one giant": np.concatenate([[1e8], np.linspace(0, 1, 59)]),
}


def start(n: int, seed: int = 0) -> torch.Tensor:
    return probes(n, seed, "test", [0], "gaussian")[:, 0]


def assert_factorizes(A: torch.Tensor, found: Lanczos, tolerance: float) -> None:
    """Assert the three defining identities, relative to |A|."""
    Q, r, A = found.basis.double(), found.residual.double(), A.double()
    T = torch.from_numpy(np.diag(found.alphas) + np.diag(found.betas[:-1], 1) + np.diag(found.betas[:-1], -1))
    remainder = torch.zeros_like(Q)
    remainder[:, -1] = r
    scale = float(torch.linalg.matrix_norm(A, 2))
    assert (A @ Q - Q @ T - remainder).abs().max() <= tolerance * scale
    assert (Q.T @ Q - torch.eye(Q.shape[1])).abs().max() <= tolerance
    assert (Q.T @ r).abs().max() <= tolerance * scale
    assert float(r.norm()) == pytest.approx(found.betas[-1], rel=1e-6, abs=tolerance * scale)


def test_the_defining_identities() -> None:
    for spectrum in HARD:
        for steps in [1, 10, 40, 1000]:
            A = symmetric(HARD[spectrum])
            assert_factorizes(A, lanczos(DenseOperator(A), start(len(A)), steps), 1e-12)


def test_single_precision() -> None:
    for spectrum in HARD:
        A = symmetric(HARD[spectrum]).float()
        found = lanczos(DenseOperator(A), start(len(A)), 40)
        assert found.basis.dtype == torch.float32
        assert_factorizes(A, found, 5e-6)


@pytest.mark.parametrize("spectrum", ["outliers", "power law", "indefinite"])
def test_at_full_dimension_ritz_values_are_eigenvalues(spectrum: str) -> None:
    found = lanczos(DenseOperator(symmetric(SPECTRA[spectrum])), start(80), 1000)
    assert found.invariant
    assert found.num_matvecs == 80  # more steps than dimensions are not taken
    np.testing.assert_allclose(found.quadrature.nodes, np.sort(SPECTRA[spectrum]), atol=1e-12 * 50)


def test_repeated_eigenvalues_are_found_once_each() -> None:
    found = lanczos(DenseOperator(symmetric(HARD["repeated"])), start(80), 4)
    np.testing.assert_allclose(found.quadrature.nodes, [-2, 0, 1, 3], atol=1e-12)
    assert found.betas[-1] < 1e-12
    diagonal = lanczos(DenseOperator(torch.diag(torch.tensor([0.0, 0.0, 2.0, 2.0], dtype=torch.float64))), start(4), 4)
    assert diagonal.invariant
    np.testing.assert_allclose(diagonal.quadrature.nodes, [0, 2], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_invariant_start_stops_at_once(dtype: torch.dtype) -> None:
    Q = orthogonal(30, 4)
    A = (Q * torch.arange(30)) @ Q.T
    found = lanczos(DenseOperator(((A + A.T) / 2).to(dtype)), 17 * Q[:, 12], 20)
    assert found.invariant
    assert found.num_matvecs == 1
    assert found.alphas[0] == pytest.approx(12, rel=1e-6)


def test_the_zero_matrix() -> None:
    found = lanczos(DenseOperator(torch.zeros(5, 5, dtype=torch.float64)), start(5), 5)
    assert found.invariant
    assert (found.alphas.tolist(), found.betas.tolist()) == ([0.0], [0.0])


@pytest.mark.parametrize("value", [-2.5, 0.0, 1e-30])
def test_one_dimension(value: float) -> None:
    found = lanczos(DenseOperator(torch.tensor([[value]], dtype=torch.float64)), torch.tensor([-3.0]), 4)
    assert found.invariant
    assert found.alphas.tolist() == [value]
    assert found.basis.tolist() == [[-1.0]]


def test_rotating_matrix_and_start_together_changes_no_coefficient() -> None:
    A, Q, q = symmetric(SPECTRA["power law"]), orthogonal(80, 9), start(80)
    plain, rotated = lanczos(DenseOperator(A), q, 15), lanczos(DenseOperator(Q @ A @ Q.T, symmetric=True), Q @ q, 15)
    np.testing.assert_allclose(rotated.alphas, plain.alphas, rtol=1e-9)
    np.testing.assert_allclose(rotated.betas, plain.betas, rtol=1e-9)
    torch.testing.assert_close(rotated.basis, Q @ plain.basis, rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 7, 100])
def test_one_product_a_step(steps: int) -> None:
    operator = CountingOperator(DenseOperator(symmetric(SPECTRA["flat"])))
    found = lanczos(operator, start(80), steps)
    assert operator.num_matvecs == found.num_matvecs == len(found.alphas) == len(found.betas) == found.basis.shape[1]


@pytest.mark.parametrize(
    ("matrix", "vector", "steps", "error", "message"),
    [
        (torch.eye(3), torch.zeros(3), 2, ValueError, "the start vector is zero: draw it at random"),
        (torch.eye(3), torch.ones(3), 0, ValueError, "num_matvecs=0: at least one product is needed"),
        (
            torch.ones(2, 3),
            torch.ones(3),
            2,
            TypeError,
            "lanczos needs a symmetric operator, DenseOperator does not declare itself so; where it is "
            "symmetric, pass aslinearoperator(A, symmetric=True)",
        ),
        (
            1e200 * torch.eye(3, dtype=torch.float64),
            torch.ones(3),
            2,
            FloatingPointError,
            "a Lanczos coefficient in torch.float64 is not finite: |Av|^2 overflows",
        ),
    ],
)
def test_what_it_refuses(
    matrix: torch.Tensor, vector: torch.Tensor, steps: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        lanczos(DenseOperator(matrix), vector, steps)
