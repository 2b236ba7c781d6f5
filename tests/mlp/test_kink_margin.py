"""The margin between a sample and another activation pattern, by hand."""

import pytest
import torch
from torch import Tensor, nn

from scalecurv.mlp.activation_pattern import ROUNDING, kink_margin, kink_margins
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.measures.rank.test_region import dyadic, open_all
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


def by_hand(x: list[float], below: float = 0.0, bias: float = 10.0) -> float:
    """|z| over 4 sizes; in the second neuron over 3 sizes and what came with a, phi' s(z) + |a|."""
    z, size = 2 * x[0] - 3 * x[1] - 1, 2 * abs(x[0]) + 3 * abs(x[1]) + 1
    slope = 1.0 if z > 0 else below
    a = slope * z
    return min(abs(z) / (4 * size), abs(a + bias) / (3 * (abs(a) + abs(bias)) + slope * 4 * size + abs(a)))


def test_by_formula() -> None:
    x = [[1.0, 2.0], [3.0, 1.0], [-1.0, 0.5], [2.0, 1.0], [0.0, 0.0], [5.75, 0.5]]
    assert margins(one_neuron(x)).tolist() == pytest.approx([by_hand(point) for point in x], rel=1e-12)
    leaky = [by_hand(point, 0.5) for point in x]
    assert margins(one_neuron(x, nn.LeakyReLU(0.5))).tolist() == pytest.approx(leaky, rel=1e-12)
    assert by_hand(x[0]) == 5 / 36 > by_hand(x[0], 0.5) == 7.5 / 58  # once by the first neuron, once by the second


def test_without_a_bias() -> None:
    x = [[1.0, 2.0], [3.0, 1.0], [3.0, 2.0]]
    expected = torch.tensor([4 / 32, 3 / 36, 0], dtype=torch.float64)
    torch.testing.assert_close(margins(one_neuron(x, bias=None)), expected, rtol=1e-12, atol=0)
    assert margins(one_neuron([[0.0, 0.0]], bias=None)).tolist() == [0]  # a zero over a zero counts as a kink


def test_the_least_of_all_neurons_of_all_layers() -> None:
    """The second layer: |a - 10| with a = 2 x_1 - 3 x_2 - 1 where it is on."""
    problem = one_neuron([[5.75, 0.5], [1.0, 2.0]])
    assert margins(problem).tolist() == [pytest.approx(19 / 122), pytest.approx(5 / 36)]
    with torch.no_grad():
        problem.model[2].bias.fill_(-10)
    moved = Problem(problem.model, (problem.x, problem.y), "mse")
    assert margins(moved).tolist() == [pytest.approx(1 / 122), pytest.approx(10 / 30)]  # behind it nothing shows


def test_the_least_within_a_layer() -> None:
    """Shares 1/3, 1 and 1/7 of the sizes side by side."""
    model = nn.Sequential(nn.Linear(2, 3, False), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, -1], [1, 1], [3, -4]]))
    problem = Problem(model, (torch.ones(1, 2), torch.ones(1, 1)), "mse")
    assert margins(problem).tolist() == [pytest.approx(1 / 28)]
    with torch.no_grad():
        model[2].weight[0, 2] = 0  # what leads nowhere bends nothing
    assert margins(Problem(model, (problem.x, problem.y), "mse")).tolist() == [pytest.approx(1 / 12)]


def test_what_cancelled_before_is_remembered() -> None:
    """x + 10^10 - 10^10 is x but for 10^10 eps: a neuron that compares it with x, at 0 in truth, is in doubt."""
    linears = [nn.Linear(1, 2), nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(1, 1)]
    model = nn.Sequential(*[m for linear in linears for m in (linear, nn.ReLU())][:-1]).double()
    given = (([1.0], [1.0]), [1e10, 3.0]), (([1.0, 0.0], [0.0, 1.0]), [-1e10, 0.0]), (([1.0, -1.0],), [3.0])
    with torch.no_grad():
        for linear, (weight, bias) in zip(linears, given, strict=False):
            linear.weight.copy_(torch.tensor(weight, dtype=torch.float64))
            linear.bias.copy_(torch.tensor(bias, dtype=torch.float64))
        linears[3].weight.fill_(1)
    x = torch.rand(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    problem = Problem(model, (x, x), "mse")
    z = open_all(problem).pre[2]
    assert 1e-8 < float(z.abs().max()) < 1e-5  # where nothing but rounding is
    assert float(margins(problem).max()) < ROUNDING


def test_no_kink_no_margin() -> None:
    problem = one_neuron([[1.0, 2.0], [2.0, 1.0]], nn.Identity())
    assert margins(problem).tolist() == [
        pytest.approx(5 / 86),
        pytest.approx(10 / 62),
    ]  # the second's alone
    assert margins(dyadic((2, 3, 1), 3, 0, nn.Identity)).tolist() == [torch.inf] * 3
    assert margins(dyadic((2, 1), 2, 0)).tolist() == [torch.inf] * 2


@each(scale=[2.0**-30, 0.25, 2.0**20])
def test_units_play_no_part(scale: float) -> None:
    """Without biases inputs, and the weights into a neuron, may be scaled."""
    problem = dyadic((3, 4, 3, 2), 6, 2, biases=(False,) * 3)
    scaled = Problem(problem.model, (problem.x * scale, problem.y), "mse")
    assert torch.equal(margins(scaled), margins(problem))
    with torch.no_grad():
        problem.model[0].weight.mul_(scale)
    assert torch.equal(margins(Problem(problem.model, (problem.x, problem.y), "mse")), margins(scaled))


@each(batch_size=[None, 1, 2, 3])
def test_the_least_of_all_samples(batch_size: int | None) -> None:
    x = [[1.0, 2.0], [3.0, 1.0], [-1.0, 0.5], [0.0, 0.0]]
    for order, _ in enumerate(x):
        problem = one_neuron(x[order:] + x[:order], batch_size=batch_size)
        assert kink_margin(*laid_open(problem)) == pytest.approx(0.05)


def test_zero_where_the_layer_before_is_off() -> None:
    """Biases 0 behind neurons that are all off : exactly on the kink."""
    problem = one_neuron([[-1.0, 0.5]])
    with torch.no_grad():
        problem.model[2].bias.zero_()
    assert kink_margin(*laid_open(Problem(problem.model, (problem.x, problem.y), "mse"))) == 0


def test_it_covers_the_rounding() -> None:
    """Sums that are 0 in exact arithmetic are never taken for certain, at any width."""
    rng = torch.Generator().manual_seed(0)
    for width in (2, 30, 400):
        w = torch.randn(width, 1, generator=rng, dtype=torch.float64)
        x = torch.cat([w.flip(0), -w.flip(0)]).T  # x . (w, w) = 0 but for rounding
        model = nn.Sequential(nn.Linear(2 * width, 1, False), nn.ReLU(), nn.Linear(1, 1)).double()
        with torch.no_grad():
            model[0].weight.copy_(torch.cat([w, w]).T)
        assert kink_margin(*laid_open(Problem(model, (x, x[:, :1]), "mse"))) < ROUNDING
