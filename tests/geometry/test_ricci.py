"""Ricci curvature in a direction is a sum of sectional curvatures, and its trace is the scalar curvature."""

import numpy as np
import pytest

from scalecurv.geometry.scalar import beta_of
from scalecurv.geometry.sectional import ricci_curvature_of
from tests.geometry.test_scalar import curvature, drawn
from tests.geometry.test_sectional import of_plane, tangents


def along(H: np.ndarray, g: np.ndarray, u: np.ndarray) -> float:
    beta, Hu = beta_of(float(np.linalg.norm(g))), H @ u
    return ricci_curvature_of(np.trace(H), g @ H @ g, beta, u @ Hu, Hu @ Hu, g @ Hu, u @ u + (g @ u) ** 2)


def test_sum_over_orthogonal_planes() -> None:
    """It is the sum of the sectional curvatures of any P - 1 planes through u that are orthonormal in the metric."""
    for seed in range(6):
        for n in [2, 3, 6]:
            H, g = drawn(n, seed)
            E = tangents(g)
            Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
            planes = [of_plane(H, g, E @ Q[:, [0, j]]) for j in range(1, n)]
            assert along(H, g, E @ Q[:, 0]) == pytest.approx(sum(planes), rel=0, abs=1e-12 * np.sum(H * H))


def test_the_tensor() -> None:
    """Ric = beta ((T - beta g'Hg) H - H^2 + beta Hg g'H) over u'Gu; its trace in the metric is K."""
    for seed in range(6):
        H, g = drawn(5, seed)
        beta, G = 1 / (1 + g @ g), np.eye(5) + np.outer(g, g)
        ricci = beta * ((np.trace(H) - beta * g @ H @ g) * H - H @ H + beta * np.outer(H @ g, g @ H))
        for u in np.random.default_rng(seed).standard_normal((4, 5)):
            assert along(H, g, u) == pytest.approx(u @ ricci @ u / (u @ G @ u), rel=1e-11)
        E = tangents(g)
        K = sum(along(H, g, e) for e in E.T)
        assert pytest.approx(curvature(H, g), rel=0, abs=1e-12 * np.sum(H * H)) == K
        assert np.trace(np.linalg.solve(G, ricci)) == pytest.approx(K, rel=0, abs=1e-12 * np.sum(H * H))


def test_a_direction_has_no_length() -> None:
    for seed in range(6):
        H, g = drawn(4, seed)
        u = np.random.default_rng(seed).standard_normal(4)
        assert along(H, g, -7e3 * u) == pytest.approx(along(H, g, u), rel=1e-12)


def test_along_the_gradient() -> None:
    """Ric(g) = beta^2 (T u'Hu - |Hu|^2), u = g/|g|, and K = beta (T^2 - F) - 2 |g|^2 Ric(g)."""
    for seed in range(6):
        H, g = drawn(5, seed)
        beta, T, F, u = 1 / (1 + g @ g), np.trace(H), np.sum(H * H), g / np.linalg.norm(g)
        steepest = along(H, g, g)
        assert steepest == pytest.approx(beta**2 * (T * u @ H @ u - (H @ u) @ (H @ u)), rel=0, abs=1e-12 * beta * F)
        assert beta * (T**2 - F) - 2 * g @ g * steepest == pytest.approx(curvature(H, g), rel=0, abs=1e-12 * F)


def test_at_a_critical_point_along_eigenvectors() -> None:
    """It is lambda (T - lambda) at g = 0, negative where T - lambda has the other sign."""
    eigenvalues = np.array([3.0, 1.0, -2.0])
    found = [along(np.diag(eigenvalues), np.zeros(3), e) for e in np.eye(3)]
    assert found == [3 * (2 - 3), 1 * (2 - 1), -2 * (2 + 2)]


def test_it_is_linear_in_the_trace() -> None:
    """An error of the trace changes the result by beta u'Hu / u'Gu times that error."""
    numbers = (0.7, 0.4, -1.5, 2.0, 0.3, 1.9)
    at = [ricci_curvature_of(t, *numbers) for t in (0.0, 1.0, 11.0)]
    assert at[1] - at[0] == pytest.approx(0.4 * -1.5 / 1.9, rel=1e-12)
    assert at[2] - at[0] == pytest.approx(11 * (at[1] - at[0]), rel=1e-12)


def test_a_surface_has_its_gaussian_curvature_in_every_direction() -> None:
    H, g = drawn(2, 3)
    gaussian = np.linalg.det(H) / (1 + g @ g) ** 2
    for angle in (0.0, 0.8, 2.0):
        u = np.array([np.cos(angle), np.sin(angle)])
        assert along(H, g, u) == pytest.approx(gaussian, rel=1e-10)
