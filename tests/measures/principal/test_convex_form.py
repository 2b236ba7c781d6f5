"""The convex form of K: what is known and what is sampled add up to the dense truth, in any Krylov space."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.gradient import Slope
from scalecurv.measures.principal.convex_form import TangentTerms, convex_form
from scalecurv.operators.shape_operator import ShapeOperator
from tests.calibration import assert_calibrated
from tests.loops import each
from tests.matrices import symmetric

LEVELS = {
    "indefinite": np.concatenate([[6.0, -4.0, 3.0], np.linspace(-1, 1, 13)]),
    "positive": np.geomspace(0.01, 2, 16),
    "rank three": np.concatenate([[5.0, 2.0, -3.0], np.zeros(13)]),
}
SLOPES = [0.0, 1e-9, 1e-7, 0.1, 1.0, 100.0]


def point(name: str, steepness: float, seed: int = 0) -> tuple[Tensor, Slope]:
    """H, and a gradient of this length in a random direction."""
    H = symmetric(LEVELS[name], seed)
    u = torch.from_numpy(np.random.default_rng(seed + 50).standard_normal((len(H), 1)))
    u, beta = u / u.norm(), 1 / (1 + steepness**2)
    if beta == 1:
        return H, Slope(1.0, torch.zeros_like(u), 0.0, torch.zeros_like(u))
    return H, Slope(beta, u, float((u.T @ H @ u)[0, 0]), H @ u)


def shape_operator(H: Tensor, slope: Slope) -> ShapeOperator:
    steepness = (1 / slope.beta - 1) ** 0.5
    return ShapeOperator(DenseOperator(H), steepness * slope.direction[:, 0])


def space_of(H: Tensor, slope: Slope, kind: str) -> RitzSpace:
    A = shape_operator(H, slope)
    start = torch.from_numpy(np.random.default_rng(9).standard_normal(len(H)))
    space = RitzSpace.of(lanczos(A, start, {"one": 1, "few": 5, "all": 99}.get(kind, 6)))
    if kind == "narrowed":
        return space.narrowed(space.outermost(3))
    return thick_restart(A, space, 6, 12, lambda _: False) if kind == "restarted" else space


def within(H: Tensor, slope: Slope) -> Tensor:
    Pi = torch.eye(len(H), dtype=torch.float64) - slope.direction @ slope.direction.T
    return Pi @ H @ Pi


def e2(A: Tensor) -> float:
    return float(A.trace() ** 2 - (A * A).sum()) / 2


def curvature(H: Tensor, slope: Slope) -> float:
    b = slope.beta
    return 2 * b * (b * e2(H) + (1 - b) * e2(within(H, slope)))


@each(name=LEVELS, steepness=SLOPES, kind=["one", "few", "all", "narrowed", "restarted"])
def test_known_and_expected_rest_are_the_moments_of_the_tangent_hessian(name: str, steepness: float, kind: str) -> None:
    """tr Pi H Pi and its square: what is known, and tr R H R, |R H R|^2 by dense sums in the place of probes."""
    H, slope = point(name, steepness)
    terms = TangentTerms(space_of(H, slope, kind), slope)
    R = terms.off(torch.eye(len(H), dtype=torch.float64))
    rest, Pi = R @ H @ R, within(H, slope)
    found = terms.known + np.array([float(rest.trace()), float((rest**2).sum())])
    scale = float((H**2).sum())
    assert found[0] == pytest.approx(float(Pi.trace()), abs=1e-11 * scale)
    assert found[1] == pytest.approx(float((Pi**2).sum()), abs=1e-9 * scale)


@each(steepness=SLOPES, kind=["one", "few", "narrowed"])
def test_what_is_off_is_off_the_slope_and_the_space_within_the_level_set(steepness: float, kind: str) -> None:
    """R projects: it removes u, and of the Krylov space what lies in the level set, one dimension less."""
    H, slope = point("indefinite", steepness)
    space = space_of(H, slope, kind)
    eye = torch.eye(len(H), dtype=torch.float64)
    R = TangentTerms(space, slope).off(eye)
    torch.testing.assert_close(R, R.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(R @ R, R, rtol=0, atol=1e-12)
    assert float(R.trace()) == pytest.approx(len(H) - space.basis.shape[1], abs=1e-12)
    V, u = space.basis, slope.direction
    within = V - V @ (V.T @ u) @ (u.T @ V) / max(float((V.T @ u).square().sum()), 1e-300) if slope.beta < 1 else V
    assert float((R @ torch.cat([u, within], 1)).abs().max()) <= 1e-12


@each(steepness=SLOPES)
def test_rows_are_of_the_probes_outside_one_product_each(steepness: float) -> None:
    """Their mean over many is tr R H R and |R H R|^2; a row depends on its own id alone."""
    H, slope = point("indefinite", steepness)
    terms, counting = TangentTerms(space_of(H, slope, "few"), slope), CountingOperator(DenseOperator(H))
    rows = terms(counting, 0, range(3000))
    assert rows.shape == (3000, 2)
    assert counting.num_matvecs == 3000
    R = terms.off(torch.eye(len(H), dtype=torch.float64))
    rest = R @ H @ R
    truth = np.array([float(rest.trace()), float((rest**2).sum())])
    assert (abs(rows.mean(0) - truth) <= 4 * rows.std(0) / np.sqrt(3000)).all()
    assert terms(counting, 0, [7, 3]) == pytest.approx(rows[[7, 3]], rel=1e-10)
    assert (terms(counting, 1, [7]) != rows[7]).all()


@each(name=LEVELS, steepness=SLOPES)
def test_exact_rows_give_k(name: str, steepness: float) -> None:
    """2 beta (beta e2(H) + (1 - beta) e2(Pi H Pi)) is K by the formula of the five numbers."""
    H, slope = point(name, steepness)
    Pi = within(H, slope)
    found = convex_form(np.array([[float(Pi.trace()), float((Pi**2).sum())]] * 4), slope)
    assert found.value == pytest.approx(curvature(H, slope), rel=1e-10)
    assert found.halfwidth <= 1e-10 * abs(found.value)
    assert (found.method, found.confidence) == ("tangent hessian, deflated", 0.95)
    s2 = 1 / slope.beta - 1
    T, F = float(H.trace()), float((H**2).sum())
    five = scalar_curvature_of(T, T * T, F, slope.beta, s2 * slope.uhu, s2 * float((slope.bent**2).sum()))
    assert found.value == pytest.approx(five, rel=1e-10)


def test_asked_for_more_it_is_wider() -> None:
    rows = np.random.default_rng(0).standard_normal((32, 2)) + 5
    usual, sure = (convex_form(rows, point("positive", 1.0)[1], c) for c in (0.95, 0.9999))
    assert (usual.value, usual.stderr) == (sure.value, sure.stderr)
    assert (sure.confidence, sure.halfwidth > 1.9 * usual.halfwidth) == (0.9999, True)


@pytest.mark.parametrize(("steepness", "name"), [(0.0, "indefinite"), (1.0, "positive"), (0.7, "indefinite")])
def test_intervals_are_calibrated(steepness: float, name: str) -> None:
    """96 probes a seed, against the dense truth."""
    H, slope = point(name, steepness)
    terms, operator = TangentTerms(space_of(H, slope, "few"), slope), DenseOperator(H)
    rows = terms(operator, 3, range(300 * 96)).reshape(300, 96, 2) + terms.known
    assert_calibrated([convex_form(r, slope) for r in rows], curvature(H, slope))
