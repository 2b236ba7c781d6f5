"""Numbers at the edge of what floats hold, and networks at the edge of what they are: no certificate is false."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from scalecurv.linalg.modular_rank import modular_rank
from scalecurv.linalg.residues import random_primes
from scalecurv.measures import Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.functional_dimension import functional_dimension
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.loops import each
from tests.measures.rank.test_region import open_all

MEMORY = 2 << 30
SIZES = torch.tensor([1e-310, 1e-40, 1.0, 1e100], dtype=torch.float64)


def relu_net(*widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def problem(model: nn.Module, x: Tensor) -> Problem:
    outputs = model(x).shape[1]
    return Problem(model, (x, torch.zeros(len(x), outputs, dtype=torch.float64)), "mse")


def exact(at: Problem, memory: int = MEMORY) -> ExactRank:
    found = exact_rank(Evaluation(at), memory)
    assert found is not None
    return found


def test_a_prime_that_divides_everything_is_no_certificate_of_zero() -> None:
    """x = p 2^-600: squares of it underflow, and the minor that p divides still has its bits."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False)).double()
    x = torch.tensor([[random_primes(1, 0)[0] * 2.0**-600]], dtype=torch.float64)
    found = exact(problem(model, x))
    assert found.lower == 1 or found.estimate.status is Status.LOWER_BOUND
    assert found.estimate.upper == 1


@each(power=[-1000, -540, -300, 0, 200, 900])
def test_units_of_the_inputs_never_lose_bits(power: int) -> None:
    """A network without biases: J is scaled, its rank is not, and bits that cannot be told are infinite."""
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False)).double()
    x = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    here = problem(model, x * 2.0**power)
    seeds = torch.eye(2, dtype=torch.float64)
    plain, scaled = (minor_bits(open_all(at), seeds) for at in (problem(model, x), here))
    for size in (1, 5, 12):
        assert scaled.of_jacobian(size) >= plain.of_jacobian(size) * (1 - 1e-5)
        assert scaled.of_gram(size) >= plain.of_gram(size) * (1 - 1e-5)
    assert exact(here).lower == exact(problem(model, x)).lower


def test_weights_of_every_size() -> None:
    """1e-310 to 1e100 in one layer: the rank modulo two primes is that of the exponents' own arithmetic."""
    model = relu_net(3, 4, 2)
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(4, 3, dtype=torch.float64) * SIZES[:, None])
    at = problem(model, torch.rand(12, 3, dtype=torch.float64))
    p, q = random_primes(2, 5)
    seeds = torch.eye(2, dtype=torch.float64)
    ranks = [modular_rank(region_factors(open_all(at), seeds, prime).dense(), prime) for prime in (p, q)]
    found = exact(at)
    assert found.lower == max(ranks) <= found.structural_upper


def test_a_pruned_neuron_bends_nothing() -> None:
    """All its weights 0: the other neurons' dimension is found as if it were not there."""
    model = relu_net(4, 6, 2)
    with torch.no_grad():
        for parameter in (model[0].weight[0], model[0].bias[0:1], model[2].weight[:, 0]):
            parameter.zero_()
    at = problem(model, torch.randn(40, 4, dtype=torch.float64))
    rest = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    with torch.no_grad():
        rest[0].weight.copy_(model[0].weight[1:])
        rest[0].bias.copy_(model[0].bias[1:])
        rest[2].weight.copy_(model[2].weight[:, 1:])
        rest[2].bias.copy_(model[2].bias)
    found = functional_dimension(Evaluation(at), MEMORY, "logits")
    alone = functional_dimension(Evaluation(problem(rest, at.x)), MEMORY, "logits")
    assert found.value == alone.value == 37 - 5


@each(memory=[MEMORY, 30_000], slope=[0.0, 0.1])
def test_no_upper_end_above_the_ceiling(memory: int, slope: float) -> None:
    """A neuron that cannot be rescaled, or samples that were not looked at, leave the architecture's own bound."""
    model = relu_net(4, 6, 2)
    model[1] = nn.LeakyReLU(slope) if slope else nn.ReLU()
    with torch.no_grad():
        model[0].weight[0] = 0
        model[0].bias[0] = 0
    x = torch.randn(60, 4, dtype=torch.float64)
    found = Rank(memory).compute(Evaluation(problem(model, x))).estimates
    assert found["rank"].upper <= found["rank_ceiling"].value == 44 - 6
    entries = [e.value for name, e in found.items() if name.startswith("account")]
    assert min(entries) >= 0
    assert found["rank"].lower + sum(entries) == 44


def test_every_product_counts() -> None:
    """Those with the softmax too."""
    torch.manual_seed(0)
    at = problem(nn.Sequential(nn.Linear(4, 5), nn.Softmax(1), nn.Linear(5, 3)).double(), torch.randn(7, 4).double())
    evaluation = Evaluation(at)
    found = Rank(output="prob").compute(evaluation).parts
    assert evaluation.total_matvecs == found["rank", "softmax"].num_matvecs > 0
