"""Every curvature of the graph of a loss against the Riemann tensor of its metric, by automatic differentiation."""

from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, hessian, jacfwd

from scalecurv.geometry.scalar import beta_of, scalar_curvature_of
from scalecurv.geometry.sectional import ricci_curvature_of, sectional_curvature_of, sectional_extremes
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.statistics.estimate import Estimate
from tests.loops import each
from tests.matrices import orthogonal

RTOL = 1e-10
Loss = Callable[[Tensor], Tensor]


class Intrinsic:
    """Geometry at theta from the metric I + dL dL' alone: Christoffel symbols, their derivative, the Riemann tensor."""

    def __init__(self, loss: Loss, theta: Tensor):
        def metric(t: Tensor) -> Tensor:
            slope = grad(loss)(t)
            return torch.eye(len(t), dtype=t.dtype) + torch.outer(slope, slope)

        def christoffel(t: Tensor) -> Tensor:
            """Gamma^a_bc = G^ad (d_b G_dc + d_c G_db - d_d G_bc) / 2."""
            d = jacfwd(metric)(t)  # d[i, j, k] = d_k G_ij
            first = (torch.einsum("dcb->dbc", d) + torch.einsum("dbc->dbc", d) - torch.einsum("bcd->dbc", d)) / 2
            return torch.linalg.solve(metric(t), first.flatten(1)).view_as(first)

        self.metric = metric(theta)
        gamma, bent = christoffel(theta), jacfwd(christoffel)(theta)  # bent[a, b, c, d] = d_d Gamma^a_bc
        crossed = torch.einsum("ace,edb->abcd", gamma, gamma)
        half = torch.einsum("adbc->abcd", bent) + crossed
        self.riemann = half - half.transpose(2, 3)  # R^a_bcd
        self.ricci = torch.einsum("abad->bd", self.riemann)

    def sectional(self, u: Tensor, v: Tensor) -> float:
        """<R(u, v) v, u> over the squared area of u and v in the metric."""
        lowered = torch.einsum("ae,ebcd->abcd", self.metric, self.riemann)
        U = torch.stack([u, v])
        return float(torch.einsum("abcd,a,b,c,d", lowered, u, v, u, v) / torch.linalg.det(U @ self.metric @ U.T))

    def ricci_along(self, u: Tensor) -> float:
        return float(u @ self.ricci @ u / (u @ self.metric @ u))

    def scalar(self) -> float:
        return float(torch.linalg.solve(self.metric, self.ricci).trace())


def surface(n: int, slope: float) -> Loss:
    """A quadratic, a cubic and a sine whose gradient at the origin is exactly the linear part, `slope` long."""
    rng = torch.Generator().manual_seed(n)
    c, B, D = (torch.randn((n,) * k, generator=rng, dtype=torch.float64) for k in (1, 2, 3))
    c = c / c.norm() * slope

    def loss(t: Tensor) -> Tensor:
        return c @ t + t @ B @ t / 2 + torch.einsum("ijk,i,j,k", D, t, t, t) / 3 + torch.sin(t.roll(1) @ t)

    return loss


def student() -> Problem:
    """1 - 2 - 1 tanh neurons without an output bias: P = 6."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1, bias=False)).double()
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    return Problem(model, (x, torch.cos(2 * x)), "mse", reduction="sum")


SURFACES = [*((n, slope) for n in (2, 5) for slope in (0.0, 1e-3, 1.0, 100.0)), (3, 1.0), (6, 0.0), (6, 10.0)]
NAMES = [*(f"P={n}, |g|={slope:g}" for n, slope in SURFACES), "tanh network"]


@cache
def point(name: str) -> tuple[Intrinsic, Tensor, Tensor]:
    """The intrinsic truth, H and g."""
    if name == "tanh network":
        problem = student()

        def squares(t: Tensor) -> Tensor:
            return (problem.outputs(t, problem.x) - problem.y).pow(2).sum() / 2

        H = HessianOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64))
        return Intrinsic(squares, problem.theta), H, loss_and_gradient(problem)[1]
    n, slope = SURFACES[NAMES.index(name)]
    loss, origin = surface(n, slope), torch.zeros(n, dtype=torch.float64)
    return Intrinsic(loss, origin), hessian(loss)(origin), grad(loss)(origin)


def shape_of(H: Tensor, g: Tensor) -> Tensor:
    return ShapeOperator(DenseOperator((H + H.T) / 2), g).matmat(torch.eye(len(g), dtype=torch.float64))


def scalar_of(H: Tensor, g: Tensor) -> float:
    T, F, Hg = float(H.trace()), float((H**2).sum()), H @ g
    return scalar_curvature_of(T, T * T, F, beta_of(float(g.norm())), float(g @ Hg), float(Hg @ Hg))


def drawn(n: int, count: int) -> Tensor:
    return torch.randn(count, n, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@each(name=NAMES)
def test_scalar_curvature(name: str) -> None:
    """K = G^bd R^a_bad = 2 e2 of the eigenvalues of the shape operator; det of it is half of K for P = 2."""
    truth, H, g = point(name)
    K, kappa = truth.scalar(), torch.linalg.eigvalsh(shape_of(H, g))
    size = float((kappa**2).sum())
    assert scalar_of(H, g) == pytest.approx(K, rel=0, abs=RTOL * size)
    assert float(2 * torch.combinations(kappa).prod(1).sum()) == pytest.approx(K, rel=0, abs=RTOL * size)
    if len(g) == 2:
        gaussian = float((H[0, 0] * H[1, 1] - H[0, 1] ** 2) / (1 + g @ g) ** 2)
        assert pytest.approx(2 * gaussian, rel=1e-9) == K
        assert float(kappa.prod()) == pytest.approx(gaussian, rel=1e-9)


@each(name=NAMES)
def test_sectional_curvature(name: str) -> None:
    """<R(u, v) v, u> / area^2 of the plane of any u and v, coordinate planes and that of g among them."""
    truth, H, g = point(name)
    n, beta = len(g), beta_of(float(g.norm()))
    eye, random = torch.eye(n, dtype=torch.float64), drawn(n, 3)
    along = g if g.norm() > 0 else eye[0]
    planes = [*combinations(eye, 2), (random[0], random[1]), (along, random[2])]
    U = torch.stack([torch.stack(plane, 1) for plane in planes])
    expected = np.array([truth.sectional(*plane) for plane in planes])
    bent, lengths = U.mT @ H @ U, U.mT @ U + (g @ U)[:, :, None] * (g @ U)[:, None, :]
    found = sectional_curvature_of(bent.numpy(), lengths.numpy(), beta)
    sizes = beta * (H**2).sum() * (U**2).sum(1).prod(1) / torch.linalg.det(lengths)
    np.testing.assert_array_less(abs(found - expected), RTOL * sizes.numpy())


@each(name=NAMES)
def test_ricci_curvature(name: str) -> None:
    """R^a_bad u^b u^d / u'Gu along coordinate axes, random directions and g."""
    truth, H, g = point(name)
    Hg, T, beta = H @ g, float(H.trace()), beta_of(float(g.norm()))
    for u in [*torch.eye(len(g), dtype=torch.float64), *drawn(len(g), 2), *([g] if g.norm() > 0 else [])]:
        numbers = (u @ H @ u, (H @ u).square().sum(), Hg @ u, u @ u + (g @ u) ** 2)
        found = ricci_curvature_of(T, float(g @ Hg), beta, *map(float, numbers))
        size = float(beta * (H**2).sum() * (u @ u) / numbers[-1])
        assert found == pytest.approx(truth.ricci_along(u), rel=0, abs=RTOL * size)


@each(name=NAMES)
def test_it_is_the_graphs_own_whatever_the_axes(name: str) -> None:
    """K and the sectional extremes stay under orthogonal changes of parameters."""
    _, H, g = point(name)
    Q = orthogonal(len(g), 4)
    size = float((shape_of(H, g) ** 2).sum())
    assert scalar_of(Q.T @ H @ Q, Q.T @ g) == pytest.approx(scalar_of(H, g), rel=0, abs=1e-12 * size)

    def extremes(H: Tensor, g: Tensor) -> list[float]:
        kappa = torch.linalg.eigvalsh(shape_of(H, g)).flip(0).tolist()
        outermost = [kappa[i] for i in sorted({0, 1, len(kappa) - 2, len(kappa) - 1})]
        return [e.value for e in sectional_extremes([Estimate.exact(k, "") for k in outermost], 0.01, 1.0)]

    assert extremes(Q.T @ H @ Q, Q.T @ g) == pytest.approx(extremes(H, g), rel=0, abs=1e-12 * size)


def test_a_sphere_is_curved_alike_everywhere() -> None:
    """The oracle itself: 1 / R^2 in every plane of the lower half of a sphere, Ricci (n - 1) / R^2."""
    n, R = 4, 2.0
    theta = torch.linspace(-0.5, 0.8, n, dtype=torch.float64)
    truth = Intrinsic(lambda t: -(R * R - t @ t).sqrt(), theta)
    u, v, w = drawn(n, 3)
    assert [truth.sectional(u, v), truth.sectional(v, w)] == pytest.approx([1 / R**2] * 2, rel=1e-12)
    assert truth.ricci_along(u) == pytest.approx((n - 1) / R**2, rel=1e-12)
    assert truth.scalar() == pytest.approx(n * (n - 1) / R**2, rel=1e-12)
