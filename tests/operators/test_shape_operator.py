"""The shape operator of the graph of the loss by products, against its dense definition."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import CASES, oracle, problem

MEANS = [case[:2] for case in CASES if case[2] == "mean"]
EYE = torch.eye(6, dtype=torch.float64)


def whole(operator: ShapeOperator) -> Tensor:
    return operator.matmat(torch.eye(operator.shape[0]))


def defined(H: Tensor, g: Tensor) -> Tensor:
    """sqrt(beta) G^(-1/2) H G^(-1/2), the root of G from its own eigenvectors."""
    values, Q = torch.linalg.eigh(torch.eye(len(g), dtype=g.dtype) + torch.outer(g, g))
    root = Q / values.sqrt() @ Q.T
    return root @ H @ root / (1 + g @ g).sqrt()


def surface(length: float) -> tuple[Tensor, Tensor]:
    """An indefinite H (6, 6) and a gradient of this length."""
    H = symmetric(np.array([3.0, 1.0, 0.5, 0.0, -0.2, -2.0]), seed=3)
    g = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, -1.0], dtype=torch.float64)
    return H, length * g / g.norm()


@each(case=MEANS)
def test_products_of_networks(case: tuple[str, str]) -> None:
    """A from Hessian products, symmetric; its eigenvalues are those of sqrt(beta) G^(-1) H."""
    point, exact = problem(*case, batch_size=3), oracle(*case)
    A = whole(ShapeOperator(HessianOperator(point), loss_and_gradient(point)[1]))
    expected = defined(exact.hessian, exact.gradient)
    size = float(expected.abs().max())
    torch.testing.assert_close(A, expected, rtol=0, atol=1e-12 * size)
    torch.testing.assert_close(A, A.T, rtol=0, atol=1e-12 * size)
    S = exact.beta**0.5 * torch.linalg.solve(
        torch.eye(len(A), dtype=A.dtype) + torch.outer(exact.gradient, exact.gradient), exact.hessian
    )
    kappa, similar = torch.linalg.eigvalsh(A), torch.linalg.eigvals(S).real.sort().values
    torch.testing.assert_close(kappa, similar, rtol=0, atol=1e-10 * size)


@each(name=["relu", "tanh", "conv"])
def test_single_precision_is_close(name: str) -> None:
    point, exact = problem(name, "mse", dtype=torch.float32), oracle(name, "mse")
    operator = ShapeOperator(HessianOperator(point), loss_and_gradient(point)[1])
    A, expected = whole(operator), defined(exact.hessian, exact.gradient)
    assert A.dtype == operator.dtype == torch.float32
    torch.testing.assert_close(A.double(), expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


@each(length=[0.0, 1e-8, 0.3, 1.0, 40.0, 1e4])
def test_tangent_vectors_are_orthonormal_in_the_metric(length: float) -> None:
    """V'G^(-1/2) G G^(-1/2) V = V'V, and the columns of G^(-1/2) are those of the inverse root."""
    H, g = surface(length)
    V = ShapeOperator(DenseOperator(H), g).tangent(EYE)
    G = EYE + torch.outer(g, g)
    size = float(G.abs().max())
    torch.testing.assert_close(V.T @ G @ V, EYE, rtol=0, atol=1e-12 * (1 + size))
    torch.testing.assert_close(V @ V, torch.linalg.inv(G), rtol=0, atol=1e-12 * (1 + size))
    some = ShapeOperator(DenseOperator(H), g).tangent(EYE[:, :2])
    torch.testing.assert_close(some, V[:, :2], rtol=0, atol=1e-12)


def test_at_a_critical_point_it_is_the_hessian() -> None:
    """g = 0 to the bit: A = H and nothing is projected out."""
    H, g = surface(0.0)
    operator = ShapeOperator(DenseOperator(H), g)
    assert torch.equal(whole(operator), H)
    assert torch.equal(operator.tangent(EYE), EYE)


@each(length=[1e-200, 1e-9])
def test_next_to_a_critical_point(length: float) -> None:
    H, g = surface(length)
    torch.testing.assert_close(whole(ShapeOperator(DenseOperator(H), g)), H, rtol=0, atol=1e-12)


@each(length=[1.0, 1e3, 1e8, 1e12], dtype=[torch.float64, torch.float32])
def test_a_steep_slope_keeps_accuracy(length: float, dtype: torch.dtype) -> None:
    """A = s (Pi H Pi + s (Pi H u u' + u u'H Pi) + s^2 (u'Hu) u u'), s = sqrt(beta): what is along u is all but lost."""
    H, g = surface(length)
    s, u = 1 / (1 + length**2) ** 0.5, (g / length)[:, None]
    Pi, tol = EYE - u @ u.T, 1e-12 if dtype == torch.float64 else 3e-6
    across = Pi @ H @ u @ u.T
    expected = s * (Pi @ H @ Pi + s * (across + across.T) + s**2 * (u.T @ H @ u) * (u @ u.T))
    A = whole(ShapeOperator(DenseOperator(H.to(dtype), symmetric=True), g.to(dtype))).double()
    torch.testing.assert_close(A, expected, rtol=0, atol=tol * s * 3)
    torch.testing.assert_close(A, A.T, rtol=0, atol=tol * s * 3)


def test_a_gradient_in_single_precision_is_taken_as_it_is() -> None:
    """Its unit vector has length 1 to the precision of H, not to its own."""
    H, g = surface(30.0)
    g = g.float()
    torch.testing.assert_close(whole(ShapeOperator(DenseOperator(H), g)), defined(H, g.double()), rtol=0, atol=1e-12)


@each(length=[0.0, 0.01, 1.0, 50.0])
def test_its_trace_is_the_mean_curvature(length: float) -> None:
    """tr A = sqrt(beta) (T - beta g'Hg), and |A|_F^2 = (tr A)^2 - K."""
    H, g = surface(length)
    A, beta, T = whole(ShapeOperator(DenseOperator(H), g)), 1 / (1 + length**2), H.trace()
    torch.testing.assert_close(A.trace(), beta**0.5 * (T - beta * g @ H @ g), rtol=0, atol=1e-12)
    K = beta * (T**2 - (H**2).sum()) + 2 * beta**2 * ((H @ g) @ (H @ g) - T * (g @ H @ g))
    torch.testing.assert_close(A.trace() ** 2 - (A**2).sum(), K, rtol=0, atol=1e-12)


def test_one_hessian_product_a_column() -> None:
    H, g = surface(1.0)
    counting = CountingOperator(DenseOperator(H))
    operator = ShapeOperator(counting, g)
    operator.tangent(EYE)
    assert counting.num_matvecs == 0
    operator.matmat(EYE[:, :4])
    operator.rmatmat(EYE[:, :3])
    assert (counting.num_matvecs, counting.num_rmatvecs) == (7, 0)
    assert (operator.cost, operator.symmetric, operator.shape, operator.dtype) == (1, True, (6, 6), torch.float64)
