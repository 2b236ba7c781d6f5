"""The networks behind the corrections to the printed theorem, with the numbers they must give."""

import pytest
import torch
from torch import Tensor, nn

from scalecurv.curvature.hessian import HessianOperator
from scalecurv.curvature.problem import Problem
from scalecurv.curvature.risk import loss_and_gradient
from scalecurv.geometry.scalar import beta_of, scalar_curvature_of


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def relu_net(incoming: float, outgoing: list[float], hidden_bias: float | None = 0.0) -> nn.Sequential:
    """1 - 1 - D with these weights and zero output biases; without any bias where `hidden_bias` is None."""
    biased = hidden_bias is not None
    model = nn.Sequential(nn.Linear(1, 1, biased), nn.ReLU(), nn.Linear(1, len(outgoing), biased)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model[0].weight += incoming
        model[2].weight += column(*outgoing)
        if biased:
            model[0].bias += hidden_bias
    return model


def hessian_and_curvature(point: Problem) -> tuple[Tensor, float]:
    operator, (_, g) = HessianOperator(point), loss_and_gradient(point)
    H = operator.matmat(torch.eye(point.num_params))
    T, Hg = float(H.trace()), H @ g
    K = scalar_curvature_of(T, T * T, float((H**2).sum()), beta_of(float(g.norm())), float(g @ Hg), float(Hg @ Hg))
    return H, float(K)


@pytest.mark.parametrize(("rho", "expected"), [(1.0, -2 / 3), (-1.0, 2 / 9)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_product_of_weights_off_interpolation(rho: float, expected: float, reduction: str) -> None:
    """f = a relu(w x) at a = w = x = 1: K < 0 at rank J = 1, or K above (r - 1) F = 0."""
    point = Problem(relu_net(1, [1], hidden_bias=None), (column(1), column(1 - rho)), "mse", reduction=reduction)
    H, K = hessian_and_curvature(point)
    assert H.tolist() == [[1, 1 + rho], [1 + rho, 1]]
    assert pytest.approx(expected, rel=1e-14) == K


@pytest.mark.parametrize(("reduction", "eigenvalue", "expected"), [("sum", 2, 8), ("mean", 1, 2)])
def test_a_dead_unit_and_two_points(reduction: str, eigenvalue: int, expected: int) -> None:
    """H = diag(2, 2) + zeros for the sum: K = 8 where the printed bound (r - 1) T says 4; for the mean it says 1."""
    model = relu_net(1, [1, 1], hidden_bias=-10)
    x = column(1, 2)
    H, K = hessian_and_curvature(Problem(model, (x, model(x).detach()), "mse", reduction=reduction))
    assert torch.equal(H, torch.diag(torch.tensor([0.0, 0, 0, 0, eigenvalue, eigenvalue], dtype=torch.float64)))
    assert expected == K


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 21602.12), (1.0, 32.0), (10.0, 1202.1602)])
def test_rescaling_changes_the_curvature_of_one_function(alpha: float, expected: float) -> None:
    """K = 2 a^-4 + 16 a^-2 + 2 + 12 a^2 with the same outputs and the same rank 3."""
    x = column(-1, 1, 2)
    model = relu_net(alpha, [1 / alpha])
    H, K = hessian_and_curvature(Problem(model, (x, model(x).detach()), "mse", reduction="sum"))
    assert pytest.approx(expected, rel=1e-12) == K
    assert int(torch.linalg.matrix_rank(H, hermitian=True)) == 3
    assert torch.allclose(model(x), torch.relu(x))
