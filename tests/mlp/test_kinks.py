"""Pre-activations within rounding of a kink are counted, neuron by neuron, and no others."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from scalecurv.mlp.activation_pattern import kinks
from scalecurv.mlp.layers import open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch
from tests.loops import each
from tests.piecewise import MEANS, Case, laid_open, opened


def count(model: nn.Module, x: Tensor, **options: object) -> list[float]:
    """Kinks of each hidden layer; the targets play no part."""
    with torch.no_grad():
        y = torch.zeros_like(model(x))
    return kinks(*laid_open(Problem(model, (x, y), "mse", **options))).tolist()


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def one_neuron(phi: nn.Module, weight: float = 1.0, bias: float = 0.0) -> nn.Sequential:
    """z = weight x + bias in front of phi."""
    model = nn.Sequential(nn.Linear(1, 1), phi, nn.Linear(1, 1)).double()
    with torch.no_grad():
        model[0].weight.fill_(weight)
        model[0].bias.fill_(bias)
    return model


@each(case=MEANS)
def test_generic_networks_have_none(case: Case) -> None:
    problem, mlp = opened(case)
    assert kinks(problem, mlp).tolist() == [0.0] * (len(mlp.widths) - 2)


@each(options=[{}, {"batch_size": 2}, {"batch_size": 1}])
def test_zero_biases_behind_a_layer_that_is_off(options: dict) -> None:
    """Samples 1 and 3 of 4 turn the 4 first neurons off: 2 x 4 exact zeros in the second layer, 2 x 3 in the third."""
    torch.manual_seed(0)
    widths = (2, 4, 4, 3, 2)
    linears = [nn.Linear(n, m) for n, m in pairwise(widths)]
    model = nn.Sequential(linears[0], *(m for linear in linears[1:] for m in (nn.ReLU(), linear))).double()
    with torch.no_grad():
        linears[0].weight.abs_()
        for linear in linears:
            linear.bias.zero_()
    x = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [2.0, 0.5], [-3.0, -0.5]], dtype=torch.float64)
    with torch.no_grad():
        linears[1].weight.abs_()  # the samples that get through keep every neuron on
        linears[2].weight.abs_()
    assert count(model, x, **options) == [0, 8, 6]
    with torch.no_grad():
        linears[1].bias += 0.1  # away from the kink, and the third layer with it
    assert count(model, x, **options) == [0, 0, 0]
    with torch.no_grad():
        linears[0].bias += 0.1
    assert count(model, 0 * x, **options) == [0, 0, 0]


def test_a_zero_input_with_zero_biases() -> None:
    """Every neuron of the first layer on one of two samples."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        model[0].bias.zero_()
    x = torch.stack([torch.zeros(3), torch.ones(3)]).double()
    assert count(model, x) == [4]


def test_constant_zero_pixels_are_fine() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    x[:, 1] = 0
    assert count(model, x) == [0]


@pytest.mark.parametrize(
    ("phi", "places"),
    [
        (nn.ReLU(), [0.0]),
        (nn.LeakyReLU(0.2), [0.0]),
        (nn.Hardtanh(), [-1.0, 1.0]),
        (nn.ReLU6(), [0.0, 6.0]),
        (nn.Softshrink(0.5), [-0.5, 0.5]),
    ],
    ids=str,
)
def test_where_each_activation_bends(phi: nn.Module, places: list[float]) -> None:
    """x = 3 z, weight 1/3: each place itself and its neighbours by a few units of rounding, not those 1e-6 away."""
    beside = 2.0**-52
    model = one_neuron(phi, 1 / 3, 1.0)
    for place in places:
        at = [3 * (place - 1 + shift) for shift in (0.0, beside, -beside)]
        assert count(model, column(*at)) == [3]
        assert count(model, column(*(3 * (place - 1 + shift) for shift in (1e-6, -1e-6, 1e-12, -1e-12)))) == [0]
    elsewhere = [p for p in (-7.0, -1.0, -0.5, 0.0, 0.5, 1.0, 6.0) if p not in places]
    assert count(model, column(*(3 * (p - 1) for p in elsewhere))) == [0]


def test_identity_bends_nowhere() -> None:
    model = one_neuron(nn.Identity())
    x = column(-1, 0, 1)
    mlp = MLP((1, 1, 1), (nn.Identity(),), 4, ("0", "2"))
    assert kinks(Problem(model, (x, x), "mse"), mlp).tolist() == [0]


def test_a_sum_that_cancels_is_as_good_as_zero() -> None:
    """0.1 + 0.2 - 0.3 is 5e-17 in float64: its sign is rounding's. Against the sum's own size 1e-6 is far away."""
    model = nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.1, 0.2, -0.3]], dtype=torch.float64))
        model[0].bias.zero_()
    x = torch.ones(1, 3, dtype=torch.float64)
    problem, mlp = laid_open(Problem(model, (x, column(0)), "mse"))
    z = open_batch(problem, mlp, Batch(x, column(0), 0)).pre[0]
    assert 0 < abs(float(z)) < 1e-16
    assert count(model, x) == [1]
    assert count(model, 1e6 * x) == [1]
    assert count(model, torch.tensor([[1.0, 1.0, 1 + 1e-6]], dtype=torch.float64)) == [0]
    assert count(model, torch.tensor([[1e6, 1e6, 1e6 + 1e-6]], dtype=torch.float64)) == [0]


def test_the_margin_is_that_of_the_problems_own_precision() -> None:
    """x - 1 at the float32 number after 1 is 1e-7: one unit of rounding there, far from 0 in float64."""
    model, x = one_neuron(nn.ReLU(), 1.0, -1.0), column(1 + 2.0**-23)
    assert count(model, x) == [0]
    assert count(model.float(), x.float()) == [1]
    assert count(model, column(1 + 1e-5).float()) == [0]


def test_no_hidden_layer_no_kink() -> None:
    assert count(nn.Sequential(nn.Linear(1, 1)).double(), column(0, 1)) == []
