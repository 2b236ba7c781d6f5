"""Ranks in exact arithmetic on hundreds of small networks: against singular values, closed forms and each other."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank import exact as module
from scalecurv.measures.rank.elimination import Side
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.functional_dimension import decisive_inputs, functional_ceiling
from scalecurv.measures.rank.generic import generic_rank
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.loops import each
from tests.measures.rank.test_rank_bounds import changed
from tests.measures.rank.test_region import PRIMES, open_all
from tests.piecewise import Shape, laid_open

MEMORY = 1 << 30
LEAKY = partial(nn.LeakyReLU, 0.3)


def net(widths: tuple[int, ...], x: Tensor, seed: int, phi: object = nn.ReLU, biased: bool = True) -> Problem:
    """Gaussian weights of variance 1 / fan-in, biases of 1 / 4."""
    rng, layers = torch.Generator().manual_seed(seed), len(widths) - 1
    model = Shape(widths, (phi,) * (layers - 1), (biased,) * layers).build().double()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=torch.float64))
            p.mul_(p.shape[-1] ** -0.5 if p.ndim == 2 else 0.5)
    return Problem(model, (x, x[:, :1].expand(-1, widths[-1])), "mse")


def gaussian(num_data: int, width: int, seed: int) -> Tensor:
    return torch.randn(num_data, width, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)


def whole(num_data: int, width: int, seed: int) -> Tensor:
    return torch.randint(-3, 4, (num_data, width), generator=torch.Generator().manual_seed(seed)).double()


def again(problem: Problem, x: Tensor | None = None) -> Problem:
    """At the weights that the model has by now."""
    x = problem.x if x is None else x
    return Problem(problem.model, (x, x[:, :1].expand(-1, problem.num_outputs)), "mse")


def svd_rank(problem: Problem, prob: bool = False) -> int:
    """By numpy's tolerance, with a gap around it: what counts as 0 is a tenth of it at most, the rest ten times."""

    def outputs(theta: Tensor) -> Tensor:
        f = problem.outputs(theta, problem.x)
        return (f.softmax(1) if prob else f).flatten()

    J = torch.func.jacrev(outputs)(problem.theta)
    sigma = torch.linalg.svdvals(J)
    tolerance = max(J.shape) * torch.finfo(J.dtype).eps * float(sigma[0])
    rank = int((sigma > tolerance).sum())
    assert rank == int((sigma > 10 * tolerance).sum()), "choose another seed: singular values in the gap"
    return rank


def ask(problem: Problem, **options: object) -> ExactRank:
    found = exact_rank(Evaluation(problem), MEMORY, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def agreed(problem: Problem) -> ExactRank:
    """Everything that must hold of any network."""
    found, rank = ask(problem), svd_rank(problem)
    assert found.lower == found.estimate.value == found.estimate.lower == found.estimate.upper == rank
    assert all(bound.value >= rank for bound in found.bounds.values())
    assert found.structural_upper >= rank
    assert found.estimate.status is Status.CERTIFIED
    assert found.estimate.confidence == 1 - found.chance >= 0.999
    return found


def random(widths: tuple[int, ...], n: int, seed: int, phi: object = nn.ReLU, biased: bool = True) -> Problem:
    return net(widths, gaussian(n, widths[0], seed), seed, phi, biased)


def on(x: Callable[[int, int, int], Tensor], phi: object = nn.ReLU) -> Callable[[tuple[int, ...], int, int], Problem]:
    return lambda widths, n, seed: net(widths, x(n, widths[0], seed), seed, phi)


KINDS = {
    "plain": random,
    "no biases": partial(random, biased=False),
    "leaky": partial(random, phi=LEAKY),
    "dead neuron": lambda *a: changed(random(*a), dead=1),
    "duplicated": lambda *a: changed(random(*a, phi=LEAKY), twin=1),
    "whole numbers": on(whole),
    "zero feature": on(lambda n, width, seed: whole(n, width, seed) * (torch.arange(width) > 0)),
    "few directions": on(lambda n, width, seed: whole(n, 2, seed) @ whole(2, width, seed + 1)),
    "linear": on(whole, nn.Identity),
}


@each(kind=KINDS)
def test_against_singular_values(kind: str) -> None:
    """135 networks: nine kinds, one to three hidden layers, widths 2 to 5, 6 to 24 samples."""
    for seed in range(15):
        rng = torch.Generator().manual_seed(seed)
        widths = tuple(torch.randint(2, 6, (2 + seed % 3,), generator=rng).tolist())
        outputs = int(torch.randint(1, 4, (1,), generator=rng))
        agreed(KINDS[kind]((*widths, outputs), 6 + 2 * (seed % 10), seed))


@each(("widths", "outputs", "r_x"), [((4, 3), 2, 4), ((4, 3, 5), 2, 2), ((5, 2, 4), 3, 3), ((3,), 2, 2)])
def test_linear_networks(widths: tuple[int, ...], outputs: int, r_x: int) -> None:
    """q (r_x + D - q) with q = min(r_x, widths); D r_x for one layer (L1)."""
    for seed in range(4):
        x = whole(12, r_x, seed) @ whole(r_x, widths[0], seed + 50)
        assert int(torch.linalg.matrix_rank(x)) == r_x
        q = min(r_x, outputs, *widths)
        found = agreed(net((*widths, outputs), x, seed, nn.Identity, biased=False))
        assert found.lower == (q * (r_x + outputs - q) if len(widths) > 1 else outputs * r_x)


@each(widths=[(1, 4, 1), (2, 5, 1), (3, 4, 2), (4, 3, 3)])
def test_shallow_networks_on_decisive_inputs(widths: tuple[int, ...]) -> None:
    """P - h (M1): the bound by symmetries is met, and no prime is needed to say so."""
    for seed in range(4):
        first = net(widths, gaussian(1, widths[0], seed), seed).model[0]
        found = agreed(net(widths, decisive_inputs(first.weight.detach(), first.bias.detach(), seed), seed))
        d, h, D = widths
        assert found.lower == found.bounds["symmetries"].value == h * (d + 1) + D * (h + 1) - h
        assert (found.chance, found.num_primes) == (0, 1)


def on_a_line(num_data: int, width: int) -> Tensor:
    """On a dyadic grid: exactly."""
    t = torch.arange(num_data, dtype=torch.float64)[:, None] - num_data // 2
    return t / 8 * torch.tensor([1.0, -3, 2, 3, -1, 2], dtype=torch.float64)[:width]


TABLE = {  # THEORY 2.2: the problem, P - h, how far the rank is from neurons, from cells (None: more than half of it)
    "4-6-5-3": (lambda: net((4, 6, 5, 3), gaussian(60, 4, 0), 0), 72, 0, None),
    "5-5-5-5-1": (lambda: net((5, 5, 5, 5, 1), gaussian(300, 5, 0), 0), 81, 4, None),
    "on a line": (lambda: net((6, 10, 1), on_a_line(300, 6), 2), 71, 6, 0),
    "10-8-8-8-2": (lambda: net((10, 8, 8, 8, 2), gaussian(250, 10, 0), 0), 226, 4, None),
    "rank 3": (lambda: net((8, 12, 12, 4), whole(120, 3, 0) @ whole(3, 8, 1), 0), 292, 0, None),
    "duplicated": (lambda: changed(net((5, 7, 7, 2), gaussian(200, 5, 2), 2), twin=1), 100, 0, None),
    "zero features": (lambda: net((6, 8, 8, 3), gaussian(120, 6, 2) * (torch.arange(6) < 4), 2), 139, 0, None),
    "narrow": (lambda: net((2, 3, 3, 3, 3, 3, 1), gaussian(300, 2, 0), 0), 46, 1, None),
}


@each(row=TABLE)
def test_the_table_of_bounds(row: str) -> None:
    make, ceiling, neurons, cells = TABLE[row]
    problem = make()
    found = agreed(problem)
    assert functional_ceiling(*laid_open(problem), "logits") == ceiling
    assert found.lower <= found.bounds["symmetries"].value <= ceiling
    assert found.bounds["neurons"].value - found.lower == neurons
    if cells is None:
        assert found.bounds["cells"].value > 1.5 * found.lower
    else:
        assert found.bounds["cells"].value - found.lower == cells
    generic = generic_rank(Evaluation(problem), found, MEMORY, "logits").value
    assert generic > found.lower if row == "duplicated" else generic == found.lower


def test_the_digits_network_of_the_table() -> None:
    assert functional_ceiling(*laid_open(net((64, 30, 30, 30, 10), gaussian(2, 64, 0), 0)), "logits") == 4030


def test_more_rows_never_take_away() -> None:
    problem = net((3, 4, 3, 2), gaussian(30, 3, 7), 7)
    ranks = [ask(again(problem, problem.x[:n])).lower for n in range(1, 31)]
    assert ranks == sorted(ranks)
    assert ranks[0] == 2
    assert ranks[-1] == svd_rank(problem)


@pytest.mark.parametrize("seed", range(3))
def test_symmetries(seed: int) -> None:
    """Powers of two times a neuron, neurons, samples and features in another order: the same ranks and bounds."""
    problem = net((4, 5, 4, 2), whole(16, 4, seed) / 4, seed)
    before = agreed(problem)
    rng = torch.Generator().manual_seed(seed)
    factors = 2.0 ** torch.randint(-9, 10, (5,), generator=rng)
    order = torch.randperm(5, generator=rng)
    first, _, second, _, _ = problem.model
    changes = [
        lambda: (first.weight.mul_(factors[:, None]), first.bias.mul_(factors), second.weight.div_(factors)),
        lambda: [p.copy_(p[order]) for p in first.parameters()] + [second.weight.copy_(second.weight[:, order])],
        lambda: problem.x.copy_(problem.x[torch.randperm(16, generator=rng)]),
        lambda: (problem.x.copy_(problem.x[:, [2, 0, 3, 1]]), first.weight.copy_(first.weight[:, [2, 0, 3, 1]])),
    ]
    for change in changes:
        with torch.no_grad():
            change()
        after = ask(again(problem))
        assert (after.lower, after.bounds, after.num_touched) == (before.lower, before.bounds, before.num_touched)


def test_certified_by_primes_where_the_bounds_stay_apart() -> None:
    """One prime and what it leaves, (share of the primes)^primes; drawn by the seed, the rank is the same."""
    problem = net((2, 3, 3, 3, 3, 3, 1), gaussian(300, 2, 0), 0)
    found = ask(problem)
    assert found.lower < found.structural_upper
    assert 0 < found.chance <= 1e-3
    assert found.num_primes == 2
    others = [exact_rank(Evaluation(problem, seed), MEMORY) for seed in range(1, 4)]
    assert all(other is not None and other.lower == found.lower for other in others)


def test_a_prime_that_divides_every_minor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs that are multiples of it: less rank modulo that one, a true bound from below, found by the next."""
    p = PRIMES[1]
    problem = net((3, 4, 2), p * whole(9, 3, 0), 0, nn.Identity)
    rank, opened = svd_rank(problem), open_all(problem)
    hidden = Side((18, 26), False, 18, 0.0).rank(region_factors(opened, torch.eye(2), p))
    assert hidden == 2  # modulo p only the biases are left
    monkeypatch.setattr(module, "random_primes", lambda count, seed: (p, 8_388_587, 8_388_571, 8_388_547, 8_388_539))
    one = ask(problem)  # the chance that it takes, and says: this draw is one of those
    monkeypatch.setattr(module, "CHANCE", 1e-9)
    more = ask(problem)
    assert one.lower == hidden < more.lower == rank == 8
    assert (one.num_primes, more.num_primes, more.chance) == (1, 2, 0)
    assert one.chance <= 1e-3
    assert min(one.structural_upper, more.structural_upper) >= rank


@each(memory=[1, 30_000, 45_000, 2_000_000])
def test_little_memory(memory: int) -> None:
    """On a part of the samples it is a lower bound, and says so; bounds hold for all of them."""
    problem = net((4, 6, 5, 3), gaussian(60, 4, 2), 2)
    found, rank = exact_rank(Evaluation(problem), memory), ask(problem).lower
    assert found is not None
    assert (found.num_samples < 60) == (memory < 1_000_000)
    assert (found.estimate.status is Status.LOWER_BOUND) == (found.num_samples < 60)
    assert found.lower <= rank <= found.estimate.upper
    assert found.lower == rank or found.num_samples < 60
