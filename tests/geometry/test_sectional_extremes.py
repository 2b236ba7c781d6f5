"""The extremes of sectional curvature from four principal curvatures, against a search over all planes."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from scalecurv.geometry.sectional import sectional_extremes
from scalecurv.statistics.estimate import Estimate, Status
from tests.matrices import symmetric

SPECTRA = {  # descending: all sign patterns of six
    "all positive": (5.0, 3.0, 2.0, 1.0, 0.5, 0.2),
    "all negative": (-0.1, -0.4, -1.0, -2.0, -3.0, -7.0),
    "mixed, up wins": (5.0, 4.0, 1.0, -0.5, -2.0, -3.0),
    "mixed, down wins": (3.0, 2.0, 1.0, -0.5, -4.0, -6.0),
    "one positive": (2.0, -0.3, -0.5, -1.0, -1.5, -4.0),
    "one negative": (4.0, 3.0, 1.0, 0.5, 0.2, -0.7),
    "rank two": (3.0, 0.0, 0.0, 0.0, 0.0, -2.0),
    "rank one": (3.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "one positive, rank two": (3.0, 0.0, 0.0, 0.0, 0.0, -1e-6),
    "multiple": (2.0, 2.0, 2.0, -2.0, -2.0, -2.0),
    "two of them": (3.0, -1.0),
    "two negative": (-1.0, -3.0),
    "three": (3.0, -1.0, -4.0),
    "three positive": (3.0, 2.0, 0.5),
}


def outermost(kappa: tuple[float, ...]) -> list[float]:
    """kappa_1, kappa_2, kappa_(P-1), kappa_P, each of them once."""
    return [kappa[i] for i in sorted({0, 1, len(kappa) - 2, len(kappa) - 1})]


def enclosed(values: list[float], width: float = 0.0, cost: int = 0) -> list[Estimate]:
    return [
        Estimate.enclosed(k, k - width, k + width, "", Status.CERTIFIED, num_matvecs=cost + i)
        for i, k in enumerate(values)
    ]


@cache
def searched(name: str) -> tuple[float, float]:
    """Return the largest and smallest over 2,000 random planes and over ascents in u and v by turns from 5 others."""
    rng = np.random.default_rng(8)
    A = symmetric(np.array(SPECTRA[name]), seed=5).numpy()
    n = len(A)

    def best_partner(v: np.ndarray, sign: float) -> tuple[float, np.ndarray]:
        """Return the unit u orthogonal to v with the largest sign (u'Au v'Av - (u'Av)^2)."""
        Av = A @ v
        P = np.eye(n) - np.outer(v, v)
        values, Q = np.linalg.eigh(P @ (sign * ((v @ Av) * A - np.outer(Av, Av))) @ P - 1e3 * np.outer(v, v))
        return sign * values[-1], Q[:, -1]

    U = np.linalg.qr(rng.standard_normal((2000, n, 2)))[0]
    found = np.linalg.det(U.swapaxes(1, 2) @ A @ U)
    ends = []
    for sign in (1.0, -1.0):
        tops = [sign * (sign * found).max()]
        for v in rng.standard_normal((5, n)):
            u = v / np.linalg.norm(v)
            for _ in range(60):
                top, u = best_partner(u, sign)
            tops.append(top)
        ends.append(sign * max(sign * t for t in tops))
    return ends[0], ends[1]


def test_no_plane_lies_outside() -> None:
    """Both ends agree with the search, to the accuracy of the ascent."""
    for name in SPECTRA:
        kappa = SPECTRA[name]
        largest, smallest = sectional_extremes(enclosed(outermost(kappa)), 0.01, 1.0)
        size = max(abs(k) for k in kappa) ** 2
        top, bottom = searched(name)
        assert largest.value == pytest.approx(top, rel=0, abs=1e-9 * size)
        assert smallest.value == pytest.approx(bottom, rel=0, abs=1e-9 * size)


def test_they_are_the_extremes_of_all_products() -> None:
    """They are the extremes of all P (P - 1) / 2 products, the eigenvalues on 2-vectors, exactly."""
    for name in SPECTRA:
        kappa = SPECTRA[name]
        products = [a * b for a, b in combinations(kappa, 2)]
        largest, smallest = sectional_extremes(enclosed(outermost(kappa)), 0.01, 1.0)
        assert (largest.value, smallest.value) == (max(products), min(products))
        assert (largest.lower, largest.upper) == (largest.value, largest.value)
        assert (smallest.lower, smallest.upper) == (smallest.value, smallest.value)
        assert (largest.status, smallest.status) == (Status.CERTIFIED, Status.CERTIFIED)


def test_every_corner_is_inside() -> None:
    """The extremes of any curvatures inside the given intervals, or at their ends, lie in the resulting intervals."""
    for name in SPECTRA:
        for width in [1e-3, 0.3, 1.5]:
            values = outermost(SPECTRA[name])
            largest, smallest = sectional_extremes(enclosed(values, width), 0.01, 1.0)
            rng = np.random.default_rng(1)
            shifts = rng.choice([-width, width, 0.0, width / 3], (400, len(values)))
            products = np.array([[a * b for a, b in combinations(row, 2)] for row in np.array(values) + shifts])
            slack = 1e-12 * np.abs(products).max()
            for found, seen in ((largest, products.max(1)), (smallest, products.min(1))):
                assert found.lower - slack <= seen.min()
                assert seen.max() <= found.upper + slack
                assert found.lower <= found.value <= found.upper
            # no wider than needed: the far ends are the extremes of the corners
            assert largest.upper == pytest.approx(products.max(), rel=1e-12)
            assert smallest.lower == pytest.approx(products.min(), rel=1e-12)


def test_an_interval_is_that_of_the_extremes_not_of_one_pair() -> None:
    """kappa in [1, 3], [0, 2], [-3, -1], [-3.1, -2.9]: 0 .. 6 and 2.9 .. 9.3 make 2.9 .. 9.3; -9.3 .. -2.9 below."""
    ends = [(1.0, 3.0), (0.0, 2.0), (-3.0, -1.0), (-3.1, -2.9)]
    parts = [Estimate.enclosed((a + b) / 2, a, b, "", Status.CERTIFIED) for a, b in ends]
    largest, smallest = sectional_extremes(parts, 0.01, 1.0)
    assert (largest.value, smallest.value) == pytest.approx((6.0, -6.0))
    assert (largest.lower, largest.upper) == pytest.approx((2.9, 9.3))
    assert (smallest.lower, smallest.upper) == pytest.approx((-9.3, -2.9))


@pytest.mark.parametrize(("width", "status"), [(0.009, Status.CERTIFIED), (0.011, Status.BUDGET)])
def test_certified_within_the_tolerance(width: float, status: Status) -> None:
    """kappa = 1 (thrice), 1 -> products 1 with half-width 2 width: certified at rtol 0.02, to a digit."""
    largest, smallest = sectional_extremes(enclosed([1.0, 1.0, 1.0, 1.0], width, cost=40), 0.02, 0.9996)
    assert (largest.status, smallest.status) == (status, status)
    assert (largest.confidence, smallest.confidence) == (0.9996, 0.9996)
    assert (largest.num_matvecs, smallest.num_matvecs) == (43, 43)  # that of the part that took most
    assert largest.method == "largest product of two principal curvatures"
    assert smallest.method == "smallest product of two principal curvatures"


@pytest.mark.parametrize(("width", "status"), [(1.8e-4, Status.CERTIFIED), (2.2e-4, Status.BUDGET)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_near_zero_the_tolerance_is_absolute(width: float, status: Status, sign: float) -> None:
    """Below a tenth of the largest |kappa|^2 = 100 the tolerance is rtol times ten, and the method says so."""
    values = [10.0, 0.0, 0.0, 0.0] if sign > 0 else [0.0, 0.0, 0.0, -10.0]
    parts = [Estimate.enclosed(k, k - width * (k == 0), k + width * (k == 0), "", Status.CERTIFIED) for k in values]
    for found in sectional_extremes(parts, 1e-4, 1.0):
        assert found.value == 0
        assert found.halfwidth == pytest.approx(5 * width, rel=1e-3)  # one of the products is not below -width^2
        assert found.status is status
        assert found.method.endswith("absolute tolerance 0.001") == (status is Status.CERTIFIED)


def test_products_of_exact_curvatures_are_exact() -> None:
    """The result is exact where all curvatures are, and is not where one of them is not."""
    for name in SPECTRA:
        kappa = outermost(SPECTRA[name])
        exact = [Estimate.exact(value, "by hand", 7 + i) for i, value in enumerate(kappa)]
        products = [a * b for a, b in combinations(kappa, 2)]
        for found, value in zip(sectional_extremes(exact, 0.01, 1.0), (max(products), min(products)), strict=True):
            assert (found.status, found.value, found.num_matvecs) == (Status.EXACT, value, 6 + len(kappa))
        for found in sectional_extremes([*exact[:-1], *enclosed(kappa[-1:], 0.1)], 1e9, 1.0):
            assert found.status is not Status.EXACT
