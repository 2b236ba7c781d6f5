"""The known part and the expected terms add up to tr A and tr A^2, whole and by group."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg import hutchinson
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.deflated import STREAM, DeflatedTerms
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov import extremes, restarted_extremes
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, symmetric

N = 80
GROUPS = (slice(0, 10), slice(10, 55), slice(55, 80))


def space_of(A: Tensor, kind: str) -> RitzSpace:
    operator = DenseOperator(A)
    space = RitzSpace.of(lanczos(operator, probes(N, 7, "test", [0], "gaussian")[:, 0], 8))
    if kind == "restarted":
        space = thick_restart(operator, space, 8, 9, lambda s: False)
    return space if kind == "whole run" else space.narrowed(space.outermost(5))


def remainder(A: Tensor, space: RitzSpace) -> tuple[Tensor, Tensor]:
    """Return R A R and A R, dense and in float64."""
    A, Q = A.double(), space.basis.double()
    R = torch.eye(N, dtype=torch.float64) - Q @ Q.T
    return R @ A @ R, A @ R


def expectation(A: Tensor, space: RitzSpace) -> np.ndarray:
    """Return the expectation of a row of terms, by E zz' = I."""
    RAR, AR = remainder(A, space)
    diagonal, rows = torch.diag(RAR), AR.square().sum(1)
    whole = [diagonal.sum(), RAR.square().sum()]
    return np.array([*whole, *(diagonal[g].sum() for g in GROUPS), *(rows[g].sum() for g in GROUPS)], dtype=float)


def truth(A: Tensor) -> np.ndarray:
    A = A.double()
    diagonal, rows = torch.diag(A), A.square().sum(1)
    whole = [diagonal.sum(), rows.sum()]
    return np.array([*whole, *(diagonal[g].sum() for g in GROUPS), *(rows[g].sum() for g in GROUPS)], dtype=float)


def units(A: Tensor) -> np.ndarray:
    """Return the units of rounding: the nuclear norm of A for traces, |A|_F^2 for squares."""
    size = float(torch.linalg.matrix_norm(A.double(), "nuc"))
    square = float(A.double().square().sum())
    return np.array([size, square, *[size] * len(GROUPS), *[square] * len(GROUPS)])


def test_known_and_expected_terms_make_the_whole() -> None:
    for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 1e-5)]:
        for kind in ["whole run", "narrowed", "restarted"]:
            for spectrum in SPECTRA:
                A = symmetric(SPECTRA[spectrum]).to(dtype)
                space = space_of(A, kind)
                known = DeflatedTerms(space, GROUPS).known
                assert known.dtype == np.float64
                assert (np.abs(known + expectation(A, space) - truth(A)) <= tolerance * units(A)).all()
                assert DeflatedTerms(space).known.tolist() == known[:2].tolist()


@pytest.mark.parametrize("kind", ["whole run", "narrowed", "restarted"])
def test_a_row_is_that_of_its_probe(kind: str) -> None:
    A = symmetric(SPECTRA["power law"])
    space, operator, ids = space_of(A, kind), CountingOperator(DenseOperator(A)), [4, 0, 9]
    rows = DeflatedTerms(space, GROUPS)(operator, 5, ids)
    assert operator.num_matvecs == 3
    RAR, AR = remainder(A, space)
    for row, i in zip(rows, ids, strict=True):
        z = probes(N, 5, STREAM, [i], "gaussian")[:, 0]
        Rz = z - space.basis @ (space.basis.T @ z)
        inner = Rz * (RAR @ z)
        squares = (AR @ z) ** 2
        expected = [inner.sum(), (RAR @ z).square().sum()]
        expected += [inner[g].sum() for g in GROUPS] + [squares[g].sum() for g in GROUPS]
        np.testing.assert_allclose(row, np.array(expected), rtol=1e-11, atol=1e-12)


def test_single_precision_products_make_double_precision_terms() -> None:
    A = symmetric(SPECTRA["power law"])
    space = space_of(A.float(), "narrowed")
    rows = DeflatedTerms(space, GROUPS)(DenseOperator(A.float()), 0, range(5))
    assert rows.dtype == np.float64
    wide = RitzSpace(space.basis.double(), space.projected, space.coupling, space.residual.double(), 8)
    np.testing.assert_allclose(rows, DeflatedTerms(wide, GROUPS)(DenseOperator(A), 0, range(5)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spectrum", ["power law", "flat", "indefinite"])
def test_mean_and_variance_are_those_of_the_theory(spectrum: str) -> None:
    """E: what is not known. Variance of a term: 2 |RAR|_F^2 for the trace, 2 tr (RAR)^4 for the square."""
    A, m = symmetric(SPECTRA[spectrum]), 6000
    space = space_of(A, "narrowed")
    terms = DeflatedTerms(space, GROUPS)
    rows = terms(DenseOperator(A), 1, range(m))
    error = np.std(rows, axis=0, ddof=1) / np.sqrt(m)
    assert (np.abs(rows.mean(0) + terms.known - truth(A)) <= 4 * error).all()
    RAR, _ = remainder(A, space)
    theory = [2 * float(RAR.square().sum()), 2 * float((RAR @ RAR).square().sum())]
    centred = rows[:, :2] - rows[:, :2].mean(0)
    spread = np.sqrt((centred**4).mean(0) / (centred**2).mean(0) ** 2 / m)
    assert (np.abs(np.var(rows[:, :2], axis=0, ddof=1) / theory - 1) <= 4 * spread).all()


def test_an_invariant_space_leaves_the_rest_alone() -> None:
    """With the top eigenvectors as Q, the known part is their part of both traces."""
    eigenvalues = SPECTRA["outliers"]
    A = symmetric(eigenvalues)
    values, vectors = torch.linalg.eigh(A)
    space = RitzSpace(
        vectors[:, -5:], np.diag(values[-5:].numpy()), np.zeros(5), torch.zeros(N, dtype=torch.float64), 0
    )
    assert DeflatedTerms(space).known == pytest.approx([150.0, 5500.0], rel=1e-12)
    rows = DeflatedTerms(space)(DenseOperator(A), 0, range(50))
    assert rows[:, 1].max() < 0.5**2 * N * 2.5  # no outlier shows in any term


def test_no_probe_is_a_start() -> None:
    """Q must be independent of the probes, and the remainder's start of Q."""
    assert len({STREAM, extremes.STREAM, restarted_extremes.STREAM, hutchinson.STREAM}) == 4


def test_groups_add_up_to_the_whole_in_every_row() -> None:
    A = symmetric(SPECTRA["indefinite"])
    terms = DeflatedTerms(space_of(A, "restarted"), GROUPS)
    rows = terms(DenseOperator(A), 0, range(9))
    np.testing.assert_allclose(rows[:, 2:5].sum(1), rows[:, 0], rtol=1e-12)
    assert terms.known[2:5].sum() == pytest.approx(terms.known[0], rel=1e-12)
    c = terms.space.coupling
    assert terms.known[5:].sum() == pytest.approx(terms.known[1] - c @ c, rel=1e-12)  # |RAQ|_F^2 once, not twice
