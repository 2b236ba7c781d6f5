"""The relation A Q = Q T + r c' holds for a run, and after its space was narrowed once or twice."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, symmetric

N = 80


def space_of(A: torch.Tensor, steps: int = 12) -> RitzSpace:
    return RitzSpace.of(lanczos(DenseOperator(A), probes(len(A), 1, "test", [0], "gaussian")[:, 0], steps))


def assert_related(A: torch.Tensor, space: RitzSpace, tolerance: float) -> None:
    """Assert the defining relation, and |AQ|_F that follows from it, relative to |A|."""
    A, Q, r = A.double(), space.basis.double(), space.residual.double()
    T, c = torch.from_numpy(space.projected), torch.from_numpy(space.coupling)
    scale = float(torch.linalg.matrix_norm(A, 2))
    assert (A @ Q - Q @ T - r[:, None] * c).abs().max() <= tolerance * scale
    assert (Q.T @ Q - torch.eye(Q.shape[1])).abs().max() <= tolerance
    assert torch.equal(T, T.T)
    if float(c.abs().max()) > 0:
        assert (Q.T @ r).abs().max() <= tolerance
        assert float(r.norm()) == pytest.approx(1, rel=tolerance)
    whole = float((A @ Q).square().sum())
    assert (T**2).sum() + (c**2).sum() == pytest.approx(whole, rel=100 * tolerance)


def test_the_relation_survives_narrowing_twice() -> None:
    for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 5e-6)]:
        for spectrum in SPECTRA:
            A = symmetric(SPECTRA[spectrum]).to(dtype)
            space = space_of(A)
            assert_related(A, space, tolerance)
            k = len(space.values)
            narrow = space.narrowed(np.arange(0, k, 2))
            assert narrow.basis.shape == (N, (k + 1) // 2)
            assert narrow.basis.dtype == dtype
            assert narrow.num_matvecs == space.num_matvecs == k
            assert_related(A, narrow, tolerance)
            np.testing.assert_allclose(narrow.values, space.values[::2], rtol=0, atol=1e-12 * 50)
            np.testing.assert_allclose(narrow.residuals, space.residuals[::2], rtol=1e-6, atol=1e-12)
            assert_related(A, narrow.narrowed(np.array([0])), tolerance)


@pytest.mark.parametrize("spectrum", ["outliers", "power law", "indefinite"])
def test_residuals_are_those_of_the_vectors(spectrum: str) -> None:
    A = symmetric(SPECTRA[spectrum])
    for space in (space_of(A), space_of(A).narrowed(np.array([0, 3, 11]))):
        U = space.basis @ torch.from_numpy(np.linalg.eigh(space.projected)[1])
        dense = (A @ U - U * torch.from_numpy(space.values)).norm(dim=0)
        np.testing.assert_allclose(space.residuals, dense, atol=1e-12 * 50)
        assert space.residuals.max() > 1e-3


def test_outermost_takes_half_from_each_end() -> None:
    for count, expected in [
        (4, [0, 1, 10, 11]),
        (5, [0, 1, 9, 10, 11]),
        (1, [11]),
        (2, [0, 11]),
        (12, list(range(12))),
        (11, [*range(5), *range(6, 12)]),
        (30, list(range(12))),
    ]:
        space = space_of(symmetric(SPECTRA["indefinite"]))
        assert space.outermost(count).tolist() == expected


def test_an_invariant_run_has_no_coupling() -> None:
    A = torch.diag(torch.from_numpy(np.repeat([3.0, 1.0, -2.0, 0.0], 5)))
    space = space_of(A)
    assert space.coupling.tolist() == [0, 0, 0, 0]
    assert space.residuals.tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(space.values, [-2, 0, 1, 3], atol=1e-12)
    assert_related(A, space, 1e-12)


def test_the_zero_matrix_leaves_zeros() -> None:
    space = space_of(torch.zeros(5, 5, dtype=torch.float64))
    assert (space.values.tolist(), space.coupling.tolist(), space.residual.tolist()) == ([0], [0], [0] * 5)
