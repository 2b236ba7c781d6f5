"""How near a sample is to another activation pattern, by hand."""

import pytest
import torch
from torch import Tensor, nn

from scalecurv.curvature.kink_margin import kink_margin, kink_margins, rounding_margin
from scalecurv.curvature.problem import Problem
from tests.curvature.test_cell import dyadic, open_all
from tests.piecewise import laid_open


def one_neuron(x: list[list[float]], phi: nn.Module | None = None, bias: float | None = -1, **options: int) -> Problem:
    """z = 2 x_1 - 3 x_2 + bias, then a second neuron z_2 = phi(z) + 10 that is far from its kink."""
    activation = phi or nn.ReLU()
    layers = [nn.Linear(2, 1, bias is not None), activation, nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)]
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, -3.0]]))
        if bias is not None:
            model[0].bias.fill_(bias)
        model[2].weight.fill_(1)
        model[2].bias.fill_(10)
    return Problem(model, (torch.tensor(x), torch.zeros(len(x), 1)), "mse", **options)


def margins(problem: Problem) -> Tensor:
    return kink_margins(open_all(problem), laid_open(problem)[1])


def test_by_hand() -> None:
    """|2 x_1 - 3 x_2 - 1| over 2 |x_1| + 3 |x_2| + 1."""
    x = [[1.0, 2.0], [3.0, 1.0], [-1.0, 0.5], [2.0, 1.0], [0.0, 0.0]]
    expected = torch.tensor([5 / 9, 2 / 10, 4.5 / 4.5, 0, 1], dtype=torch.float64)
    torch.testing.assert_close(margins(one_neuron(x)), expected, rtol=1e-15, atol=0)
    leaky = torch.tensor([5 / 9, 2 / 10, 7.75 / 12.25, 0, 9.5 / 10.5], dtype=torch.float64)  # two by the second neuron
    torch.testing.assert_close(margins(one_neuron(x, nn.LeakyReLU(0.5))), leaky, rtol=1e-15, atol=0)


def test_without_a_bias() -> None:
    x = [[1.0, 2.0], [3.0, 1.0], [3.0, 2.0]]
    expected = torch.tensor([4 / 8, 3 / 9, 0], dtype=torch.float64)
    torch.testing.assert_close(margins(one_neuron(x, bias=None)), expected, rtol=1e-15, atol=0)
    assert margins(one_neuron([[0.0, 0.0]], bias=None)).tolist() == [0]  # a zero over a zero counts as a kink


def test_the_least_of_all_neurons_of_all_layers() -> None:
    """The second layer: |a - 10| / (a + 10) with a = 2 x_1 - 3 x_2 - 1 where it is on."""
    problem = one_neuron([[5.75, 0.5], [1.0, 2.0]])
    assert margins(problem).tolist() == [pytest.approx(9 / 14), pytest.approx(5 / 9)]
    with torch.no_grad():
        problem.model[2].bias.fill_(-10)
    moved = Problem(problem.model, (problem.x, problem.y), "mse")
    assert margins(moved).tolist() == [pytest.approx(1 / 19), pytest.approx(5 / 9)]


def test_the_least_within_a_layer() -> None:
    """Shares 1/3, 1 and 1/7 side by side."""
    model = nn.Sequential(nn.Linear(2, 3, False), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, -1], [1, 1], [3, -4]]))
    assert margins(Problem(model, (torch.ones(1, 2), torch.ones(1, 1)), "mse")).tolist() == [pytest.approx(1 / 7)]


def test_no_kink_no_margin() -> None:
    problem = one_neuron([[1.0, 2.0], [2.0, 1.0]], nn.Identity())
    assert margins(problem).tolist() == [pytest.approx((10 - 5) / (5 + 10)), 1]  # that of the second neuron alone
    assert margins(dyadic((2, 3, 1), 3, 0, nn.Identity)).tolist() == [torch.inf] * 3
    assert margins(dyadic((2, 1), 2, 0)).tolist() == [torch.inf] * 2


@pytest.mark.parametrize("scale", [2.0**-30, 0.25, 2.0**20])
def test_units_play_no_part(scale: float) -> None:
    """Without biases inputs, and the weights into a neuron, may be scaled."""
    problem = dyadic((3, 4, 3, 2), 6, 2, biases=(False,) * 3)
    scaled = Problem(problem.model, (problem.x * scale, problem.y), "mse")
    assert torch.equal(margins(scaled), margins(problem))
    with torch.no_grad():
        problem.model[0].weight.mul_(scale)
    assert torch.equal(margins(Problem(problem.model, (problem.x, problem.y), "mse")), margins(scaled))


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3])
def test_the_least_of_all_samples(batch_size: int | None) -> None:
    x = [[1.0, 2.0], [3.0, 1.0], [-1.0, 0.5], [0.0, 0.0]]
    for order, _ in enumerate(x):
        problem = one_neuron(x[order:] + x[:order], batch_size=batch_size)
        assert kink_margin(*laid_open(problem)) == pytest.approx(0.2)


def test_zero_where_the_layer_before_is_off() -> None:
    """Biases 0 behind neurons that are all off (THEORY S7): exactly on the kink."""
    problem = one_neuron([[-1.0, 0.5]])
    with torch.no_grad():
        problem.model[2].bias.zero_()
    assert kink_margin(*laid_open(Problem(problem.model, (problem.x, problem.y), "mse"))) == 0


def test_rounding_margin_covers_the_rounding() -> None:
    """Sums that are 0 in exact arithmetic stay below it in float64, at every width; halves of units do not."""
    rng = torch.Generator().manual_seed(0)
    for width in (2, 30, 400):
        w = torch.randn(width, 1, generator=rng, dtype=torch.float64)
        x = torch.cat([w.flip(0), -w.flip(0)]).T  # x . (w, w) = 0 but for rounding
        model = nn.Sequential(nn.Linear(2 * width, 1, False), nn.ReLU(), nn.Linear(1, 1)).double()
        with torch.no_grad():
            model[0].weight.copy_(torch.cat([w, w]).T)
        problem, mlp = laid_open(Problem(model, (x, x[:, :1]), "mse"))
        assert kink_margin(problem, mlp) < rounding_margin(mlp) == 4 * (2 * width + 2) * 2.0**-52
