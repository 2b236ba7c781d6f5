"""Sectional curvature of planes equals that of the second fundamental form, for any vectors that span the plane."""

import numpy as np
import pytest

from scalecurv.geometry.scalar import beta_of
from scalecurv.geometry.sectional import sectional_curvature_of
from tests.geometry.test_scalar import curvature, drawn


def of_plane(H: np.ndarray, g: np.ndarray, U: np.ndarray) -> float:
    """The curvature of the plane of the columns of U (n, 2)."""
    slopes = U.T @ g
    return float(
        sectional_curvature_of(U.T @ H @ U, U.T @ U + np.outer(slopes, slopes), beta_of(float(np.linalg.norm(g))))
    )


def tangents(g: np.ndarray) -> np.ndarray:
    """G^(-1/2): its columns are orthonormal in the metric I + g g'."""
    values, Q = np.linalg.eigh(np.eye(len(g)) + np.outer(g, g))
    return Q / np.sqrt(values) @ Q.T


def test_gauss_equation() -> None:
    """det of the second fundamental form sqrt(beta) H over the Gram determinant of the tangent vectors (u, g'u)."""
    for seed in range(6):
        for n in [2, 3, 7]:
            H, g = drawn(n, seed)
            U = np.random.default_rng(seed).standard_normal((n, 2))
            lifted = np.vstack([U, U.T @ g])
            second = U.T @ H @ U / np.sqrt(1 + g @ g)
            expected = np.linalg.det(second) / np.linalg.det(lifted.T @ lifted)
            assert of_plane(H, g, U) == pytest.approx(expected, rel=1e-12, abs=1e-12 * np.sum(H * H))


def test_it_belongs_to_the_plane() -> None:
    """Every basis of the plane gives the same curvature, left-handed and skew ones too."""
    for seed in range(6):
        H, g = drawn(5, seed)
        rng = np.random.default_rng(seed)
        U = rng.standard_normal((5, 2))
        expected = of_plane(H, g, U)
        for basis in ([[0, 1], [1, 0]], [[1, 0], [3, 1]], [[-2, 0], [0, 5]], rng.standard_normal((2, 2))):
            assert of_plane(H, g, U @ np.array(basis)) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("seed", range(4))
def test_the_denominator_of_orthonormal_vectors(seed: int) -> None:
    """beta (u'Hu v'Hv - (u'Hv)^2) / (1 + (g'u)^2 + (g'v)^2), and no minus where the plane is level."""
    H, g = drawn(6, seed)
    u, v = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 2)))[0].T
    numerator = ((u @ H @ u) * (v @ H @ v) - (u @ H @ v) ** 2) / (1 + g @ g)
    expected = numerator / (1 + (g @ u) ** 2 + (g @ v) ** 2)
    assert of_plane(H, g, np.stack([u, v], 1)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_ordered_pairs_of_tangent_axes_sum_to_the_scalar_curvature(seed: int) -> None:
    H, g = drawn(5, seed)
    E = tangents(g)
    K = sum(of_plane(H, g, E[:, [i, j]]) for i in range(5) for j in range(5) if i != j)
    assert pytest.approx(curvature(H, g), rel=0, abs=1e-12 * np.sum(H * H)) == K


def test_planes_of_principal_directions_have_products_of_principal_curvatures() -> None:
    H, g = drawn(4, 2)
    E, root = tangents(g), 1 / np.sqrt(1 + g @ g)
    kappa, Q = np.linalg.eigh(root * E @ H @ E)
    for i, j in [(0, 1), (0, 3), (2, 3), (1, 2)]:
        assert of_plane(H, g, E @ Q[:, [i, j]]) == pytest.approx(kappa[i] * kappa[j], rel=1e-10)


def test_many_planes_at_once() -> None:
    """Leading axes are planes: each entry follows from its own two matrices."""
    rng = np.random.default_rng(0)
    bent, lengths = rng.standard_normal((2, 3, 4, 2, 2))
    bent, lengths = bent + bent.swapaxes(-1, -2), lengths @ lengths.swapaxes(-1, -2)
    found = sectional_curvature_of(bent, lengths, 0.3)
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found, 0.3 * np.linalg.det(bent) / np.linalg.det(lengths), rtol=1e-12)


def test_signs_of_saddles_bowls_and_cylinders() -> None:
    """u'Hu v'Hv - (u'Hv)^2 at g = 0, to the bit."""
    flat = np.eye(2)
    assert [float(sectional_curvature_of(np.array(B), flat, 1.0)) for B in ([[2, 0], [0, -3]], [[2, 0], [0, 3]])] == [
        -6,
        6,
    ]
    assert float(sectional_curvature_of(np.array([[1.0, 2.0], [2.0, 4.0]]), flat, 1.0)) == 0


def test_the_slope_may_be_given_apart() -> None:
    """det(U'U + ss') for any u, v: the same as the metric's own Gram matrix."""
    rng = np.random.default_rng(4)
    H, U, g = rng.standard_normal((7, 7)), rng.standard_normal((7, 2)), rng.standard_normal(7)
    H, beta = H + H.T, 1 / (1 + g @ g)
    whole = sectional_curvature_of(U.T @ H @ U, U.T @ U + np.outer(U.T @ g, U.T @ g), beta)
    assert sectional_curvature_of(U.T @ H @ U, U.T @ U, beta, U.T @ g) == pytest.approx(whole, rel=1e-12)


def test_no_slope_is_too_steep() -> None:
    """1 + a^2 + b^2 where (1 + a^2)(1 + b^2) - a^2 b^2 has lost every digit."""
    found = sectional_curvature_of(np.diag([2.0, 3.0]), np.eye(2), 0.5, np.array([3e9, 4e9]))
    assert found == pytest.approx(3 / 25e18, rel=1e-12)
