"""The remainder of an operator outside a subspace is R A R, and its eigenvalues interlace with those of A."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.ritz import Remainder
from tests.matrices import SPECTRA, orthogonal, symmetric

EYE = torch.eye(80, dtype=torch.float64)


def test_it_is_the_dense_one() -> None:
    for spectrum in SPECTRA:
        for k in [0, 1, 7]:
            A, Q = symmetric(SPECTRA[spectrum]), orthogonal(80, 8)[:, :k]
            operator = CountingOperator(DenseOperator(A))
            rest = Remainder(operator, Q) @ EYE
            R = EYE - Q @ Q.T
            scale = abs(SPECTRA[spectrum]).max()
            torch.testing.assert_close(rest, R @ A @ R, rtol=0, atol=1e-12 * scale)
            assert operator.num_matvecs == 80  # one product of A each
            assert (rest @ Q).abs().sum() <= 1e-12 * scale
            assert (rest - rest.T).abs().max() <= 1e-12 * scale


def test_its_eigenvalues_interlace() -> None:
    for spectrum in ["outliers", "indefinite", "negative"]:
        for k in [1, 5]:
            A, Q = symmetric(SPECTRA[spectrum]), orthogonal(80, 8)[:, :k]
            outside = torch.linalg.qr(torch.cat([Q, EYE], 1))[0][:, k:80]  # an orthonormal basis of the complement
            inner = np.linalg.eigvalsh((outside.T @ (Remainder(DenseOperator(A), Q) @ outside)).numpy())
            outer = np.sort(SPECTRA[spectrum])
            assert len(inner) == 80 - k
            assert (outer[: 80 - k] <= inner + 1e-12).all()
            assert (inner <= outer[k:] + 1e-12).all()


def test_without_the_top_eigenvectors_the_rest_is_left() -> None:
    A = symmetric(SPECTRA["outliers"])
    top = torch.linalg.eigh(A)[1][:, -5:]
    left = torch.linalg.eigvalsh(Remainder(DenseOperator(A), top) @ EYE)
    assert float(left.max()) == pytest.approx(0.5, rel=1e-12)


def test_single_precision_and_what_it_declares() -> None:
    A, Q = symmetric(SPECTRA["outliers"]).float(), orthogonal(80, 8)[:, :6].float()
    rest = Remainder(DenseOperator(A), Q)
    assert (rest.symmetric, rest.shape, rest.dtype) == (True, (80, 80), torch.float32)
    inside = Q.double().T @ (rest @ EYE.float()).double()
    assert inside.abs().max() <= 1e-6 * 50
    with pytest.raises(TypeError, match=r"^a remainder needs a symmetric operator, DenseOperator is not declared so; "):
        Remainder(DenseOperator(torch.ones(2, 3)), Q)
