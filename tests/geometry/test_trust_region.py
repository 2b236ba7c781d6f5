"""The maximiser of a quadratic on a ball, against random points of ball and sphere, the hard case included."""

import numpy as np
import pytest

from scalecurv.geometry.trust_region import trust_region_maximum


def case(t: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    k = int(rng.integers(1, 6))
    A = rng.standard_normal((k, k))
    A = (A + A.T, -A @ A.T, A @ A.T, np.zeros((k, k)))[t % 4]
    b = rng.standard_normal(k) * 10.0 ** rng.integers(-12, 3)
    if t % 5 == 0:
        b[:] = 0
    if t % 7 == 0:  # no component along the top eigenvector
        top = np.linalg.eigh(A)[1][:, -1]
        b = b - top * (top @ b)
    return b, A, 10.0 ** rng.integers(-3, 2)


def test_no_point_of_the_ball_is_higher() -> None:
    rng = np.random.default_rng(0)
    for t in range(600):
        b, A, radius = case(t, rng)
        y = trust_region_maximum(b, A, radius)
        assert np.linalg.norm(y) <= radius * (1 + 1e-12)
        Z = rng.standard_normal((2000, len(b)))
        Z *= radius / np.linalg.norm(Z, axis=1)[:, None]
        Z[::2] *= rng.random((1000, 1))
        highest = max(0.0, float((Z @ b + np.einsum("ni,ij,nj->n", Z, A, Z) / 2).max()))
        assert b @ y + y @ A @ y / 2 >= highest - 1e-9 * abs(highest), t


def test_a_maximum_inside_is_the_stationary_point() -> None:
    b, A = np.array([1.0, -2.0]), np.diag([-2.0, -4.0])
    np.testing.assert_allclose(trust_region_maximum(b, A, 5.0), [0.5, -0.5], rtol=1e-12)


def test_no_ball_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^radius=0[.]0: give a positive number$"):
        trust_region_maximum(np.ones(1), np.eye(1), 0.0)
