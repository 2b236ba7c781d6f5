"""Planes at random: each has the sectional curvature that its two vectors say, and the mean is K / (P (P - 1))."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.probes import probes
from scalecurv.measures.principal.planes import STREAM, PlaneTerms
from tests.loops import each
from tests.matrices import symmetric

LEVELS = {2: [3.0, -1.0], 6: [4.0, 2, 1, 0, -1, -3], 10: [5.0, 3, 2, 1, 1, 0, 0, -1, -1, -2]}


def point(P: int, steepness: float) -> tuple[Tensor, Tensor]:
    g = torch.from_numpy(np.random.default_rng(P).standard_normal(P))
    return symmetric(np.array(LEVELS[P]), 1), steepness * g / g.norm()


def curvature(H: Tensor, g: Tensor) -> float:
    """K of the dense shape operator G^-1 H sqrt(beta)."""
    b = 1 / (1 + float(g @ g))
    S = b**0.5 * (H - b * torch.outer(g, g @ H))
    return float(S.trace() ** 2 - (S @ S).trace())


@each(steepness=[0.0, 0.3, 1.0, 30.0], P=[6, 10])
def test_each_row_is_the_curvature_of_its_plane(P: int, steepness: float) -> None:
    """By Gauss' equation in a G-orthonormal basis of the plane of G^(-1/2) z, for the probes 2i and 2i + 1."""
    H, g = point(P, steepness)
    G = torch.eye(P, dtype=torch.float64) + torch.outer(g, g)
    values, vectors = torch.linalg.eigh(G)
    half = vectors * values**-0.5 @ vectors.T
    counting = CountingOperator(DenseOperator(H))
    rows = PlaneTerms(g)(counting, 4, [5, 0, 8])
    assert rows.shape == (3, 1)
    assert counting.num_matvecs == 6
    for i, row in zip([5, 0, 8], rows[:, 0], strict=True):
        U = half @ probes(P, 4, STREAM, [2 * i, 2 * i + 1], "gaussian")
        U = U @ torch.linalg.inv(torch.linalg.cholesky(U.T @ G @ U)).T
        torch.testing.assert_close(U.T @ G @ U, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-10)
        wanted = float(torch.linalg.det(U.T @ H @ U)) / (1 + float(g @ g))
        assert row == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@each(steepness=[0.0, 0.5, 3.0], P=[6, 10])
def test_the_mean_is_k_over_the_number_of_ordered_pairs(P: int, steepness: float) -> None:
    H, g = point(P, steepness)
    rows = PlaneTerms(g)(DenseOperator(H), 0, range(4000))[:, 0]
    off = rows.mean() - curvature(H, g) / (P * (P - 1))
    assert abs(off) <= 4 * rows.std(ddof=1) / np.sqrt(4000)


@pytest.mark.parametrize("steepness", [0.0, 2.0])
def test_on_a_surface_there_is_one_plane(steepness: float) -> None:
    """P = 2: every plane has K / 2, the Gaussian curvature det H / (1 + |g|^2)^2."""
    H, g = point(2, steepness)
    rows = PlaneTerms(g)(DenseOperator(H), 1, range(50))[:, 0]
    assert rows == pytest.approx(np.full(50, curvature(H, g) / 2), rel=1e-10)
    assert rows[0] == pytest.approx(-3 / (1 + steepness**2) ** 2, rel=1e-10)


def test_a_sphere_is_round_in_every_plane() -> None:
    rows = PlaneTerms(torch.zeros(7, dtype=torch.float64))(
        DenseOperator(3 * torch.eye(7, dtype=torch.float64)), 0, range(20)
    )
    assert rows[:, 0] == pytest.approx(np.full(20, 9.0), rel=1e-12)


def test_a_row_depends_on_its_id_and_seed_alone() -> None:
    H, g = point(6, 1.0)
    terms, operator = PlaneTerms(g), DenseOperator(H)
    rows = terms(operator, 2, range(16))
    assert terms(operator, 2, [11, 3]) == pytest.approx(rows[[11, 3]], rel=1e-12)
    assert len(np.unique(np.r_[rows, terms(operator, 3, range(16))].round(12))) == 32
