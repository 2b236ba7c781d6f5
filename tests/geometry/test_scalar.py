"""Scalar curvature against the shape operator, against surfaces, and against the numbers of the counterexamples."""

import numpy as np
import pytest

from scalecurv.geometry.scalar import beta_of, scalar_curvature_of


def curvature(H: np.ndarray, g: np.ndarray) -> float:
    H, g = np.asarray(H, dtype=float), np.asarray(g, dtype=float)
    T, F = np.trace(H), np.trace(H @ H)
    return float(scalar_curvature_of(T, T * T, F, beta_of(np.linalg.norm(g)), g @ H @ g, g @ H @ H @ g))


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    return A + A.T, rng.standard_normal(n) * 10 ** rng.uniform(-2, 1)


def test_against_the_shape_operator() -> None:
    """S = sqrt(b) (I - b g g') H, K = tr(S)^2 - tr(S^2)."""
    for seed in range(10):
        for n in [1, 2, 3, 9]:
            H, g = drawn(n, seed)
            b = 1 / (1 + g @ g)
            S = np.sqrt(b) * (np.eye(n) - b * np.outer(g, g)) @ H
            K = np.trace(S) ** 2 - np.trace(S @ S)
            assert curvature(H, g) == pytest.approx(K, rel=1e-12, abs=1e-12 * np.sum(H * H))


def test_it_is_a_convex_combination_of_two_minors() -> None:
    """K = 2b (b e2(H) + (1 - b) e2(PHP)), P the projector along the level set."""
    for seed in range(5):
        H, g = drawn(6, seed)
        b, P = beta_of(np.linalg.norm(g)), np.eye(6) - np.outer(g, g) / (g @ g)

        def e2(A: np.ndarray) -> float:
            return (np.trace(A) ** 2 - np.trace(A @ A)) / 2

        assert curvature(H, g) == pytest.approx(2 * b * (b * e2(H) + (1 - b) * e2(P @ H @ P)), rel=1e-12)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.5, -2.0)])
def test_a_surface_has_twice_its_gaussian_curvature(x: float, y: float) -> None:
    """The graph of (x^2 + 3 y^2) / 2, whose Gaussian curvature is det H / (1 + |g|^2)^2."""
    assert curvature(np.diag([1.0, 3.0]), np.array([x, 3 * y])) == pytest.approx(2 * 3 / (1 + x * x + 9 * y * y) ** 2)


def test_a_sphere() -> None:
    """The lower half of a sphere of radius R in R^(n+1) has K = n (n - 1) / R^2 at every point."""
    n, R = 5, 2.0
    x = np.linspace(-0.5, 0.8, n)
    height = np.sqrt(R * R - x @ x)
    H = np.eye(n) / height + np.outer(x, x) / height**3
    assert curvature(H, x / height) == pytest.approx(n * (n - 1) / R**2, rel=1e-12)


@pytest.mark.parametrize(("rho", "expected"), [(1.0, -2 / 3), (-1.0, 2 / 9)])
def test_it_may_be_negative_and_may_pass_the_bound_off_interpolation(rho: float, expected: float) -> None:
    """f = a relu(w x) at a = w = x = 1 with residual rho."""
    assert curvature(np.array([[1, 1 + rho], [1 + rho, 1]]), rho * np.ones(2)) == pytest.approx(expected, rel=1e-12)


def test_the_printed_bound_is_a_slip() -> None:
    """A dead hidden unit and two points: H = diag(2, 2) + zeros, K = 8 > (r - 1) T = 4."""
    assert curvature(np.diag([0.0, 0, 2, 2]), np.zeros(4)) == 8


def test_the_same_operands_as_arrays() -> None:
    T = np.array([1.0, -2.0])
    expected = [scalar_curvature_of(t, t * t + 1, 3.0, 0.3, 0.7, 1.1) for t in T]
    np.testing.assert_array_equal(scalar_curvature_of(T, T * T + 1, np.full(2, 3.0), 0.3, 0.7, 1.1), expected)


@pytest.mark.parametrize(("norm", "beta"), [(0.0, 1.0), (1.0, 0.5), (3.0, 0.1), (1e150, 1e-300)])
def test_beta(norm: float, beta: float) -> None:
    assert beta_of(norm) == pytest.approx(beta)
