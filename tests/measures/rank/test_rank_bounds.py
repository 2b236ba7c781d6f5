"""Bounds by neurons and by regions: never below the rank in fractions, and by hand where it can be said."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank import bounds as inner_ranks
from scalecurv.measures.rank.bounds import Bound, neuron_bound, region_bound
from scalecurv.measures.rank.exact import exact_rank
from scalecurv.measures.rank.factors import region_factors
from scalecurv.mlp.activation_pattern import activation_pattern
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.measures.rank.test_region import PRIMES, dyadic, exact_jacobian, open_all, rank_of
from tests.piecewise import Shape

LEAKY = partial(nn.LeakyReLU, 0.25)
V = torch.tensor([1.0, -3.0, 2.0, 3.0], dtype=torch.float64)


def gaussian(widths: tuple[int, ...], x: Tensor, phi: object = LEAKY, seed: int = 0, biased: bool = True) -> Problem:
    rng = torch.Generator().manual_seed(seed)
    layers = len(widths) - 1
    model = Shape(widths, (phi,) * (layers - 1), (biased,) * layers).build().double()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=torch.float64))
    return Problem(model, (x, x[:, :1].expand(-1, widths[-1])), "mse")


def points(num_data: int, width: int, seed: int = 1) -> Tensor:
    return torch.randn(num_data, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bounds(problem: Problem, primes: tuple[int, ...] = (PRIMES[1], 8_388_587)) -> tuple[Bound, Bound]:
    """By neurons, by regions."""
    opened = open_all(problem)
    by_prime = tuple(region_factors(opened, torch.eye(problem.num_outputs), prime) for prime in primes)
    return neuron_bound(opened, activation_pattern(opened), by_prime), region_bound(opened, by_prime)


def exact(problem: Problem) -> int:
    return rank_of(exact_jacobian(open_all(problem), torch.eye(problem.num_outputs)))


def changed(problem: Problem, **edits: object) -> Problem:
    first, last = problem.model[0], problem.model[-1]
    x = problem.x.clone()
    with torch.no_grad():
        if "dead" in edits:
            first.weight[0], first.bias[0] = 0, -1
        if "feature" in edits:
            x[:, -2:] = 0
        if "cut" in edits:
            last.weight[:, -1] = 0
        if "twin" in edits:
            first.weight[0], first.bias[0] = first.weight[1], first.bias[1]
    return Problem(problem.model, (x, problem.y), "mse")


NETS = {
    "relu": lambda seed: dyadic((3, 4, 3, 2), 9, seed),
    "leaky": lambda seed: dyadic((3, 3, 2), 8, seed, LEAKY),
    "no biases": lambda seed: dyadic((2, 4, 2, 1), 14, seed, biases=(False,) * 3),
    "some biases": lambda seed: dyadic((2, 3, 3, 1), 14, seed, nn.ReLU, (False, True, False)),
    "linear": lambda seed: dyadic((3, 2, 2), 8, seed, nn.Identity),
    "one layer": lambda seed: dyadic((3, 2), 6, seed),
    "zero features": lambda seed: changed(dyadic((4, 3, 2), 8, seed), feature=1),
    "dead": lambda seed: changed(dyadic((3, 4, 2), 8, seed), dead=1),
    "cut off": lambda seed: changed(dyadic((3, 3, 3, 2), 8, seed), cut=1),
    "twins": lambda seed: changed(dyadic((2, 4, 2), 10, seed), twin=1),
    "zero feature and twins": lambda seed: changed(dyadic((4, 3, 3, 1), 12, seed), feature=1, twin=1, dead=1),
    "rounded line": lambda seed: gaussian((4, 4, 1), points(12, 1, seed) * V, nn.ReLU, seed),
    "rounded line, no biases": lambda seed: gaussian((4, 3, 3, 1), points(10, 1, seed) * V, nn.ReLU, seed, False),
    "rounded plane": lambda seed: gaussian((4, 4, 1), points(12, 2, seed) @ torch.stack([V, 1 / V]), nn.ReLU, seed),
}


@each(name=NETS, seed=range(3))
def test_never_below_the_rank(name: str, seed: int) -> None:
    """Nor with no work allowed, where the bounds only get looser."""
    problem = NETS[name](seed)
    rank, found = exact(problem), bounds(problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inner_ranks, "WORK", 0)
        loose = bounds(problem)
    for bound, more in zip(found, loose, strict=True):
        assert rank <= bound.value <= more.value


def test_a_shallow_net_by_hand() -> None:
    """All live: h (d + 1) + D (h + 1) - h = P - h, certain; less h for each zero feature, d + D for a dead neuron."""
    x = points(60, 4)
    assert bounds(gaussian((4, 6, 2), x))[0] == Bound(44 - 6, 0)
    assert bounds(gaussian((4, 6, 2), x, biased=False))[0] == Bound(36 - 6, 0)
    assert bounds(changed(gaussian((4, 6, 2), x), feature=1))[0] == Bound(44 - 6 - 2 * 6, 0)
    assert bounds(gaussian((4, 6, 2), x, nn.ReLU))[0] == Bound(44 - 6, 0)
    assert bounds(changed(gaussian((4, 6, 2), x, nn.ReLU), dead=1))[0] == Bound(44 - 6 - (4 + 1 + 2) + 1, 0)


def test_a_deep_net_by_hand() -> None:
    """Of 5-4-4-3: P - h = 59 - 8; a zero feature takes n_1, a cut-off neuron its weights in and one of the h."""
    x = points(60, 5)
    assert bounds(gaussian((5, 4, 4, 3), x))[0] == Bound(59 - 8, 0)
    assert bounds(changed(gaussian((5, 4, 4, 3), x), feature=1))[0] == Bound(51 - 2 * 4, 0)
    assert bounds(changed(gaussian((5, 4, 4, 3), x), cut=1))[0] == Bound(51 - 5 + 1, 0)
    twin = changed(gaussian((5, 4, 4, 3), x), twin=1)
    assert bounds(twin)[0] == Bound(51 - 4 - 0, 4)  # a column less for each neuron of the second layer, by two primes


def test_inner_ranks_take_the_larger_prime() -> None:
    """Modulo 3 inputs that are multiples of 3 vanish: the rank modulo another prime counts, and alone it would not."""
    problem = gaussian((2, 3, 1), 3 * torch.tensor([[1.0, 2], [2, 1], [3, 3], [1, 0]], dtype=torch.float64))
    good, _ = bounds(problem)
    assert bounds(problem, (3, PRIMES[1])) == bounds(problem, (PRIMES[1], 3)) == bounds(problem)
    assert bounds(problem, (3,))[0].value < good.value


@each(("D", "biased", "r"), [(1, True, 4), (3, True, 4), (2, False, 3)])
def test_one_region(D: int, biased: bool, r: int) -> None:
    """A linear network: D rank[X, 1], or of X without biases; certain where X has no more columns."""
    linear = partial(gaussian, (3, 5, D), phi=nn.Identity, biased=biased)
    assert bounds(linear(points(20, 3)))[1] == Bound(D * r, 0)
    assert bounds(linear(points(2, 3)))[1] == Bound(D * 2, 0)
    assert bounds(linear(points(1, 3)))[1] == Bound(D, 0)
    line = torch.arange(1.0, 9)[:, None] * V[:3].float()
    assert bounds(linear(line.double()))[1] == Bound(D * (1 + biased), 1)


def test_points_on_a_line() -> None:
    """Two for each region with two points or more: on a grid, beside a neuron that is always on, it is the rank."""
    t = torch.arange(-40.0, 41, dtype=torch.float64)[:, None] / 16
    problem = gaussian((4, 5, 1), t * V + V.flip(0), nn.ReLU, 3)
    with torch.no_grad():
        problem.model[0].bias[0] = 1000
    problem = Problem(problem.model, (problem.x, problem.y), "mse")
    on = torch.cat(open_all(problem).slopes, 1)
    counts = on.unique(dim=0, return_counts=True)[1]
    by_neurons, by_regions = bounds(problem)
    assert by_regions == Bound(int(counts.clamp_max(2).sum()), int((counts > 2).sum()))
    assert len(counts) == 5
    assert exact(problem) == by_regions.value <= by_neurons.value


def test_collinear_up_to_rounding() -> None:
    """The floats as they stand are not on a line: rank and bounds both see it, a tolerance would not."""
    rounded, tight = (
        gaussian((4, 5, 1), points(40, 1) * V / 3, nn.ReLU, 3),
        torch.arange(-20.0, 20).double()[:, None] * V,
    )
    assert exact(rounded) > exact(gaussian((4, 5, 1), tight, nn.ReLU, 3))
    found = exact_rank(Evaluation(rounded), 1 << 30)
    assert found is not None
    assert found.lower == exact(rounded) <= min(bound.value for bound in bounds(rounded))
    J = jacrev(lambda theta: rounded.outputs(theta, rounded.x).flatten())(rounded.theta)
    assert int(torch.linalg.matrix_rank(J)) < found.lower
    assert torch.linalg.matrix_rank(rounded.x) == 1 < rank_of(rounded.x.numpy())


def test_every_region_alone() -> None:
    """No two samples share a pattern: all rows."""
    problem = gaussian((4, 30, 2), points(10, 4), nn.ReLU)
    assert len(torch.cat(open_all(problem).slopes, 1).unique(dim=0)) == 10
    assert bounds(problem)[1] == Bound(20, 0)
    mixed = Problem(problem.model, (problem.x[[0, 1, 1, 1, 2]], problem.y[:5]), "mse")
    assert bounds(mixed)[1] == Bound(2 * 3, 1)
    assert exact(mixed) == 6


def test_too_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rank of all rows stands for that of some: 3 for a neuron that is on for multiples of one point only."""
    x = torch.cat([torch.arange(1.0, 5)[:, None].expand(4, 3), -torch.eye(3)]).double()
    problem = gaussian((3, 2, 1), x, nn.ReLU, biased=False)
    with torch.no_grad():
        problem.model[0].weight.copy_(torch.tensor([[1, 1, 1], [-1, -1, -1]]))
    problem = Problem(problem.model, (problem.x, problem.y), "mse")
    assert bounds(problem)[0] == Bound(1 + 3 + 2 - 2, 1)
    monkeypatch.setattr(inner_ranks, "WORK", 0)
    assert bounds(problem)[0] == Bound(3 + 3 + 2 - 2, 0)
    few = Problem(problem.model, (problem.x[[0, 1, 4]], problem.y[:3]), "mse")
    assert bounds(few)[0] == Bound(2 + 1 + 2 - 2, 0)  # never more than its rows
