"""Lower bounds on lambda_max(G) for one forward pass: Rayleigh quotients of G where the outputs grow as they are."""

import pytest
import torch
from torch import nn

from scalecurv.mlp.euler_bounds import euler_bounds
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.mlp.test_euler import directions
from tests.piecewise import Case, close, homogeneous, laid_open, opened, truth

CASES = homogeneous("one layer", "one layer, no bias", "one output", "two hidden", "no biases", "some biases")
CASES += [Case(shape, "mse", "sum") for shape in ("one layer", "one output", "some biases")]
by_case = each(case=CASES)


@by_case
def test_rayleigh_quotients(case: Case) -> None:
    """w'Gw / w'w at w = E theta for each layer in turn and for all, none above lambda_max(G)."""
    problem, mlp = opened(case)
    found, G = euler_bounds(problem, mlp), truth(case).gauss_newton
    ws = [E * problem.theta for _, E in directions(problem)]
    close(found, torch.stack([w @ G @ w / (w @ w) for w in ws]))
    assert found.shape == (len(mlp.layers) + 1,)
    assert float(found.max()) <= float(torch.linalg.eigvalsh(G)[-1]) * (1 + 1e-12)


@each(shape=["one output", "some biases"], options=[{"batch_size": 3}, {"batch_size": 1}])
def test_mini_batches_add_up(shape: str, options: dict) -> None:
    case = Case(shape, "mse", trained=True)
    close(euler_bounds(*opened(case, **options)), euler_bounds(*opened(case)))


def test_tight_for_one_sample_along_itself() -> None:
    """f = w.x at w = 2 x, |x|^2 = 9: both bounds are lambda_max(G) = 9."""
    x = torch.tensor([[1.0, 2.0, -2.0]], dtype=torch.float64)
    model = nn.Sequential(nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(2 * x)
    assert euler_bounds(*laid_open(Problem(model, (x, x[:, :1]), "mse"))).tolist() == pytest.approx([9, 9], rel=1e-12)


def test_numbers_by_hand() -> None:
    """f = 5 relu(2 . 3 + 1) + 7 = 42: lengths 4 + 1 + 49 and 25 + 49, and 4 + 25 + 1 + 4 . 49 at twice it."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    for parameter, value in zip(model.parameters(), (2.0, 1.0, 5.0, 7.0), strict=True):
        nn.init.constant_(parameter, value)
    x = torch.full((1, 1), 3.0, dtype=torch.float64)
    found = euler_bounds(*laid_open(Problem(model, (x, x), "mse")))
    assert found.tolist() == pytest.approx([42**2 / 54, 42**2 / 74, 4 * 42**2 / 226], rel=1e-12)


def test_a_direction_that_vanishes_bounds_nothing() -> None:
    """W_2 = 0, b_2 = 0: f = 0, and 0 from every direction, those of length 0 among them."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        model[2].weight.zero_()
        model[2].bias.zero_()
    x = torch.ones(5, 3, dtype=torch.float64)
    assert euler_bounds(*laid_open(Problem(model, (x, x[:, :2]), "mse"))).tolist() == [0, 0, 0]
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    assert euler_bounds(*laid_open(Problem(model, (x, x[:, :2]), "mse"))).tolist() == [0, 0, 0]


def test_tiny_weights_are_not_none() -> None:
    """f = w x at w = 1e-140: the quotient is x^2 however short w."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False)).double()
    nn.init.constant_(model[0].weight, 1e-140)
    x = torch.full((1, 1), 3.0, dtype=torch.float64)
    assert euler_bounds(*laid_open(Problem(model, (x, x), "mse"))).tolist() == pytest.approx([9, 9], rel=1e-12)
    nn.init.constant_(model[0].weight, 1e-170)  # w^2 is no number: nothing is claimed, where f^2 = 1e-140 is one
    x = torch.full((1, 1), 1e100, dtype=torch.float64)
    assert euler_bounds(*laid_open(Problem(model, (x, x), "mse"))).tolist() == [0, 0]


@each(shape=["wide", "deep", "other kinks"])
def test_refuses_activations_that_are_not_homogeneous(shape: str) -> None:
    with pytest.raises(ValueError, match="homogeneous activations: ReLU, LeakyReLU or none"):
        euler_bounds(*opened(Case(shape, "mse")))
