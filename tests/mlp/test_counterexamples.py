"""The networks behind the corrections to the printed theorem, with the numbers they must give."""

import pytest
import torch
from torch import Tensor, nn

from scalecurv.geometry.scalar import beta_of, scalar_curvature_of
from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import layer_traces
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient


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


def ranks(point: Problem, H: Tensor) -> tuple[int, int]:
    """Return the ranks of J and of H."""
    J = JacobianOperator(point).matmat(torch.eye(point.num_params, dtype=torch.float64))
    return int(torch.linalg.matrix_rank(J)), int(torch.linalg.matrix_rank(H, hermitian=True))


@pytest.mark.parametrize(
    ("rho", "eigenvalues", "expected"), [(1.0, [-1, 3], -2 / 3), (-1.0, [1, 1], 2 / 9), (0.0, [0, 2], 0)]
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_product_of_weights_off_interpolation(
    rho: float, eigenvalues: list[float], expected: float, reduction: str
) -> None:
    """f = a relu(w x) at a = w = x = 1: K < 0 at rank J = 1, or K above (r - 1) F = 0."""
    point = Problem(relu_net(1, [1], hidden_bias=None), (column(1), column(1 - rho)), "mse", reduction=reduction)
    H, K = hessian_and_curvature(point)
    assert H.tolist() == [[1, 1 + rho], [1 + rho, 1]]
    torch.testing.assert_close(torch.linalg.eigvalsh(H), torch.tensor(eigenvalues).double(), rtol=0, atol=1e-12)
    assert pytest.approx(expected, rel=1e-12) == K
    assert ranks(point, H) == (1, 1 if rho == 0 else 2)
    assert loss_and_gradient(point)[1].tolist() == [rho, rho]


@pytest.mark.parametrize(("reduction", "eigenvalue", "expected"), [("sum", 2, 8), ("mean", 1, 2)])
def test_a_dead_unit_and_two_points(reduction: str, eigenvalue: int, expected: int) -> None:
    """H = diag(2, 2) + zeros for the sum: K = 8 where the printed bound (r - 1) T says 4; for the mean it says 1."""
    model = relu_net(1, [1, 1], hidden_bias=-10)
    x = column(1, 2)
    point = Problem(model, (x, model(x).detach()), "mse", reduction=reduction)
    H, K = hessian_and_curvature(point)
    assert torch.equal(H, torch.diag(torch.tensor([0.0, 0, 0, 0, eigenvalue, eigenvalue], dtype=torch.float64)))
    assert expected == K
    r, T, F = 2, float(H.trace()), float((H**2).sum())
    assert ranks(point, H) == (r, r)
    if reduction == "sum":
        assert (r - 1) * T < K  # 8 > 4: the bound as printed
    else:
        assert (r - 1) * T == (r - 1) * F > (r - 1) * eigenvalue**2  # 2 > 1: the next link of the chain as printed
    # the chain as corrected, each link tight here
    assert K == (r - 1) * F == (r - 1) * eigenvalue * T == r * (r - 1) * eigenvalue**2


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 21602.12), (1.0, 32.0), (10.0, 1202.1602)])
def test_rescaling_changes_the_curvature_of_one_function(alpha: float, expected: float) -> None:
    """K = 2 a^-4 + 16 a^-2 + 2 + 12 a^2 with the same outputs and the same rank 3."""
    x = column(-1, 1, 2)
    model = relu_net(alpha, [1 / alpha])
    point = Problem(model, (x, model(x).detach()), "mse", reduction="sum")
    H, K = hessian_and_curvature(point)
    assert pytest.approx(expected, rel=1e-12) == K
    assert ranks(point, H) == (3, 3)
    assert torch.allclose(model(x), torch.relu(x))
    mlp = structure_of(point)
    assert mlp is not None
    assert layer_traces(point, mlp).tolist() == pytest.approx([7 / alpha**2, 3 + 5 * alpha**2], rel=1e-12)


def test_one_sharp_direction_has_no_scalar_curvature() -> None:
    """lambda = 2e6 at rank 1, and K = 0: one weight, one sample at interpolation."""
    x = column(2000**0.5 * 1000**0.5)
    model = nn.Sequential(nn.Linear(1, 1, bias=False)).double()
    point = Problem(model, (x, model(x).detach()), "mse")
    H, K = hessian_and_curvature(point)
    assert float(H) == pytest.approx(2e6, rel=1e-12)
    assert abs(K) <= 1e-12 * float(H) ** 2
    # the same direction among others, off the axes
    wide = nn.Sequential(nn.Linear(4, 1)).double()
    x = torch.tensor([[1000.0, -800, 600, 7]], dtype=torch.float64)
    H, K = hessian_and_curvature(Problem(wide, (x, wide(x).detach()), "mse"))
    assert torch.linalg.eigvalsh(H)[-1].item() == pytest.approx(float((x**2).sum()) + 1, rel=1e-12)
    assert abs(K) <= 1e-12 * float(H.trace()) ** 2
