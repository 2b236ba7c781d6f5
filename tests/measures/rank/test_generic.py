"""The rank of almost all parameters of a region: that of dense singular values after a small random step."""

import copy
import math

import pytest
import torch
from torch import nn

from scalecurv.linalg.residues import NUM_PRIMES, random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import cheapest_side
from scalecurv.measures.rank.exact import exact_rank
from scalecurv.measures.rank.generic import PRIMES, generic_rank
from scalecurv.measures.rank.generic import _with_parameters as with_parameters
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.mlp.layers import open_batch
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.piecewise import LEAKY, Shape, laid_open

MEMORY = 2 << 30
DEEP = Shape((5, 7, 7, 2), (nn.ReLU, nn.ReLU))


def point(shape: Shape, num_data: int, twins: bool = False, seed: int = 2) -> Problem:
    """With `twins` the first two neurons of the first layer do the same, but for what they go on to."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = shape.build().double()
        x = 2 * torch.randn(num_data, shape.widths[0], dtype=torch.float64)
    with torch.no_grad():
        for parameter in model[0].parameters() if twins else ():
            parameter[1] = parameter[0]
    return Problem(model, (x, torch.zeros(num_data, shape.widths[-1])), "mse")


def asked(at: Problem, memory: int = MEMORY, output: str = "logits", seed: int = 0) -> tuple[int, Estimate]:
    evaluation = Evaluation(at, seed)
    exact = exact_rank(evaluation, memory, output)
    assert exact is not None
    return exact.lower, generic_rank(evaluation, exact, memory, output)


def rank_nearby(at: Problem, output: str = "logits") -> int:
    """After a step that crosses no fold."""
    near = copy.deepcopy(at.model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(9)
        for parameter in near.parameters():
            parameter += 1e-5 * torch.randn_like(parameter)
    there = Problem(near, (at.x, at.y), "mse")
    for before, after in zip(*(slopes(p) for p in (at, there)), strict=True):
        assert torch.equal(before, after)
    J = dense_at(there).jacobian
    if output == "prob":
        p = there.outputs(there.theta, there.x).softmax(1)
        J = ((torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) @ J.view(*p.shape, -1)).flatten(0, 1)
    return int(torch.linalg.matrix_rank(J, rtol=1e-12))


def slopes(at: Problem) -> tuple[torch.Tensor, ...]:
    return open_batch(*laid_open(at), Batch(at.x, at.y, 0)).slopes


@each(output=["logits", "prob"])
def test_twins_have_less_than_their_region(output: str) -> None:
    at = point(Shape((5, 7, 7, 3), (nn.ReLU, nn.ReLU)), 60, twins=True)
    here, found = asked(at, output=output)
    assert here < found.value == found.lower == found.upper == rank_nearby(at, output)
    assert found.num_matvecs == found.num_samples == 0


@each(
    ("shape", "num_data"),
    [
        (DEEP, 60),
        (Shape((4, 5, 3), (LEAKY,), (False, True)), 30),
        (Shape((3, 4, 4, 2), (nn.ReLU, LEAKY), (False,) * 3), 20),
        (Shape((4, 3, 3, 3), (nn.Identity, nn.Identity)), 20),
        (Shape((4, 3)), 9),
    ],
    output=["logits", "prob"],
)
def test_at_random_parameters_it_is_the_rank(shape: Shape, num_data: int, output: str) -> None:
    here, found = asked(point(shape, num_data), output=output)
    assert here == found.value == rank_nearby(point(shape, num_data), output)


def test_a_bound_that_is_met_makes_it_certain() -> None:
    """One hidden layer and samples enough: P - hidden neurons, 27 - 4."""
    at = point(Shape((4, 4, 1), (nn.ReLU,)), 300)
    here, found = asked(at)
    assert (here, found.value, found.confidence, found.status) == (21, 21, 1.0, Status.CERTIFIED)


def test_else_it_is_so_with_high_probability() -> None:
    """Two hidden layers: minors of degree 4 r at most, and a prime in so many that divides them everywhere."""
    at = point(DEEP, 60, twins=True)
    _, found = asked(at, seed=4)
    most = int(found.method.rpartition(" ")[2])
    assert found.value < most
    opened = open_batch(*laid_open(at), Batch(at.x, at.y, 0))
    sizes = minor_bits(with_parameters(opened, 2 * most + 1), torch.eye(2, dtype=torch.float64))
    units = minor_bits(with_parameters(opened, 1), torch.eye(2, dtype=torch.float64))
    assert sizes.of_jacobian(1) > units.of_jacobian(1) + math.log2(2 * most)  # no power of two is taken out of them
    side = cheapest_side((120, laid_open(at)[1].num_params), 7 + 7 + 2, most, MEMORY)
    chances = [side.chance(sizes, most) + 4 * most / prime for prime in random_primes(PRIMES, 4)]
    assert 1 - found.confidence == pytest.approx(math.prod(chances), rel=1e-6)
    assert found.status is Status.CERTIFIED


def test_a_prime_in_the_data_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature that both primes divide is lost whatever the residues of the weights are: inside the chance stated."""
    at = point(Shape((3, 2)), 6)
    p, q = random_primes(PRIMES, 0)
    at.x[:, 2] = p * q * torch.arange(1.0, 7, dtype=torch.float64)
    _, found = asked(Problem(at.model, (at.x, at.y), "mse"))
    sizes = minor_bits(open_batch(*laid_open(at), Batch(at.x, at.y, 0)), torch.eye(2, dtype=torch.float64))
    assert found.value == 6 < 8
    assert 1 - found.confidence >= (sizes.of_jacobian(8) // 22 / NUM_PRIMES) ** 2 > 0


def test_twins_of_zero_weights_are_generic_neurons() -> None:
    """A neuron that goes on to nothing is dead here, and alive nearby: the bound is that of the region."""
    at = point(Shape((2, 3, 1), (LEAKY,)), 200)
    with torch.no_grad():
        at.model[2].weight[0, 0] = 0
    at = Problem(at.model, (at.x, at.y), "mse")
    here, found = asked(at)
    assert (here, found.value, found.status) == (8, 10, Status.CERTIFIED)


def test_where_every_row_counts_there_is_no_more() -> None:
    at = point(DEEP, 4)
    here, found = asked(at)
    assert (here, found.value, found.status, found.confidence) == (8, 8, Status.CERTIFIED, 1.0)


def test_of_a_part_of_the_samples_there_is_no_answer() -> None:
    at = point(DEEP, 60)
    _, found = asked(at, 20_000)
    assert found.status is Status.NOT_APPLICABLE
    assert found.method == "it needs all samples, 3 of 60 samples (more --memory takes more)"


def test_probabilities_have_a_symmetry_of_their_own() -> None:
    """4-4-3: P - hidden - (4 weights and a bias) is met, and so certain."""
    at = point(Shape((4, 4, 3), (nn.ReLU,)), 300)
    here, found = asked(at, output="prob")
    assert (here, found.value, found.status) == (35 - 4 - 5, 35 - 4 - 5, Status.CERTIFIED)
    assert found.confidence == 1
