"""The brackets hold the scalar curvature of 20,000 random matrices, for exact and for widened numbers."""

from functools import cache

import numpy as np
import pytest

from scalecurv.geometry.bounds import Interval, general_bracket, psd_bracket

DRAWS, SIZES = 20_000, (1, 2, 3, 5)


class Sample:
    """Matrices H = diag(t) with a gradient each, and the exact K of theorem 2.1; a rotation would change nothing."""

    def __init__(self, n: int, psd: bool):
        rng = np.random.default_rng(10 * n + psd)
        m = DRAWS // len(SIZES)
        t = rng.standard_normal((m, n)) * 10.0 ** rng.uniform(-1, 1, (m, n))
        t[rng.random((m, n)) < 0.2] = 0  # of any rank
        t[rng.random(m) < 0.1] = 1.5  # all equal
        self.t = np.sort(abs(t) if psd else t, axis=1)
        top, bottom = np.eye(n)[-1], np.eye(n)[0]
        kinds = np.stack([np.broadcast_to(u, (m, n)) for u in (top, bottom, top + bottom, top - 0.3 * bottom)])
        kinds = np.concatenate([kinds, rng.standard_normal((2, m, n))])
        u = kinds[rng.integers(0, len(kinds), m), np.arange(m)]
        g = u * 10.0 ** rng.uniform(-6, 6, (m, 1))  # tiny and huge
        g[rng.random(m) < 0.1] = 0
        self.beta = 1 / (1 + (g * g).sum(1))
        self.T, self.F = self.t.sum(1), (self.t**2).sum(1)
        unit = g / np.maximum(np.linalg.norm(g, axis=1), 1e-300)[:, None]
        q1, q2 = (unit**2 * self.t).sum(1), (unit**2 * self.t**2).sum(1)
        rest = 2 * (1 - self.beta) * (q2 - self.T * q1)
        self.K = self.beta * (self.T**2 - self.F + rest)
        self.slack = 1e-12 * self.beta * self.F * n


@cache
def sample(n: int, psd: bool) -> Sample:
    return Sample(n, psd)


def around(values: np.ndarray, width: float, seed: int) -> list[Interval]:
    """Return an interval around each value, its ends off by up to `width` (|value| + 1)."""
    reach = width * (np.abs(values) + 1) * np.random.default_rng(seed).random((2, len(values)))
    return list(zip((values - reach[0]).tolist(), (values + reach[1]).tolist(), strict=True))


def assert_holds(brackets: list[Interval], s: Sample) -> None:
    lower, upper = np.array(brackets).T
    assert (lower <= s.K + s.slack).all()
    assert (upper + s.slack >= s.K).all()


def test_positive_semidefinite() -> None:
    for width in [0.0, 0.01, 3.0]:
        for n in SIZES:
            s = sample(n, True)
            parts = zip(around(s.T, width, 1), around(s.t[:, -1], width, 2), s.beta.tolist(), strict=True)
            brackets = [psd_bracket(T, lam, beta) for T, lam, beta in parts]
            assert_holds(brackets, s)
            assert min(lower for lower, _ in brackets) >= 0


def test_any_sign() -> None:
    for width in [0.0, 0.01, 3.0]:
        for n in SIZES:
            s = sample(n, False)
            ends = [
                (low[0], high[1])
                for low, high in zip(around(s.t[:, 0], width, 3), around(s.t[:, -1], width, 4), strict=True)
            ]
            parts = zip(around(s.T, width, 1), around(s.F, width, 2), ends, s.beta.tolist(), strict=True)
            assert_holds([general_bracket(*part) for part in parts], s)


@pytest.mark.parametrize("n", SIZES[1:])
def test_a_wider_interval_gives_a_wider_bracket(n: int) -> None:
    s = sample(n, False)
    for i in range(200):
        T, F, low, high, beta = (float(x) for x in (s.T[i], s.F[i], s.t[i, 0], s.t[i, -1], s.beta[i]))
        exact = general_bracket((T, T), (F, F), (low, high), beta)
        wide = general_bracket((T - 1, T + 2), (F - 1, F + 1), (low - 1, high + 1), beta)
        assert wide[0] <= exact[0] + 1e-9 * F * beta
        assert exact[1] <= wide[1] + 1e-9 * F * beta


@pytest.mark.parametrize(
    ("eigenvalues", "gradient", "which"),
    [
        ([3.0, 0.0, 0.0], [0, 0, 0], "both"),  # rank 1: K = 0 = T (T - lambda) = T^2 - lambda^2
        ([2.0, 2.0, 0.0], [0, 0, 0], "lower"),  # F = lambda T
        ([2.0, 2.0, 0.0], [2.0, 0, 0], "lower"),  # the tangent space of the level set has rank 1
        ([4.0, 0.0, 0.0], [1.0, 0, 0], "both"),
    ],
)
def test_where_the_semidefinite_bracket_is_attained(
    eigenvalues: list[float], gradient: list[float], which: str
) -> None:
    t, g = np.array(eigenvalues), np.array(gradient)
    beta, T, F = 1 / (1 + g @ g), t.sum(), (t**2).sum()
    K = beta * (T**2 - F) + 2 * beta**2 * (g @ (t**2 * g) - T * (g @ (t * g)))
    lower, upper = psd_bracket((T, T), (t.max(), t.max()), beta)
    assert lower == pytest.approx(K, rel=1e-12)
    assert upper == (pytest.approx(K, rel=1e-12) if which == "both" else pytest.approx(beta * (T**2 - t.max() ** 2)))


@pytest.mark.parametrize(
    ("eigenvalues", "direction"),
    [([5.0, -2.0, 1.0], 1), ([3.0, -4.0, 3.0], 1), ([6.0, 1.5, 1.5], 2), ([3.0, 3.0, 2.0], 0)],
)
def test_the_general_bracket_is_attained_along_an_end(eigenvalues: list[float], direction: int) -> None:
    """The gradient is along the eigenvector with the largest or the smallest t (t - T)."""
    t, beta = np.array(eigenvalues), 0.3
    T, F, own = t.sum(), (t**2).sum(), t[direction]
    K = beta * (T**2 - F) + 2 * beta * (1 - beta) * own * (own - T)
    bracket = general_bracket((T, T), (F, F), (t.min(), t.max()), beta)
    assert min(abs(K - end) for end in bracket) <= 1e-12 * F
    corners = [x * (x - T) for x in (t.min(), t.max())]
    assert bracket[1] == pytest.approx(beta * (T**2 - F) + 2 * beta * (1 - beta) * max(corners), rel=1e-12)
    inside = t.min() <= T / 2 <= t.max()
    least = -T * T / 4 if inside else min(corners)
    lower = beta * (T**2 - F) + 2 * beta * (1 - beta) * least
    assert bracket[0] == pytest.approx(max(lower, beta * ((1 + beta) * T * T / 2 - F)), rel=1e-12)


def test_at_a_critical_point_the_general_bracket_is_the_value() -> None:
    assert general_bracket((3.0, 3.0), (7.0, 7.0), (-1.0, 4.0), 1.0) == (2.0, 2.0)


def test_a_trace_of_unknown_sign() -> None:
    """T in [-1, 3] for H = diag(1/2), whose K is 0: (-1) (-1 - 1/2) is no lower bound."""
    assert psd_bracket((-1.0, 3.0), (0.5, 0.5), 1.0) == (0.0, 8.75)
    lower, upper = general_bracket((-1.0, 3.0), (0.25, 0.25), (0.0, 0.5), 1.0)
    assert (lower, upper) == (-0.25, 8.75)
