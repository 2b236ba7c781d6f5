"""The rank modulo a prime: the same from either side and from combinations of rows; which side is taken, by hand."""

import pytest
import torch
from torch import nn

from scalecurv.linalg.residues import NUM_PRIMES, random_primes
from scalecurv.measures.rank.elimination import SPARE, Side, cheapest_side, combinations_fit, rows_that_fit, surest_side
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.minor_bits import MinorBits
from scalecurv.mlp.layers import open_batch
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from tests.dense import dense_at
from tests.loops import each
from tests.piecewise import LEAKY, Shape, laid_open

PRIME = random_primes(1, 5)[0]
NETS = {
    "shallow": (Shape((4, 6, 2), (nn.ReLU,)), 30),
    "few samples": (Shape((5, 6, 4, 2), (nn.ReLU, LEAKY)), 6),
    "no biases": (Shape((3, 5, 4, 2), (LEAKY, nn.ReLU), (False,) * 3), 25),
    "deep": (Shape((3, 4, 3, 4, 2), (nn.ReLU, nn.ReLU, LEAKY)), 40),
    "linear": (Shape((4, 3, 3), (nn.Identity,)), 20),
}
AMPLE = 1 << 40


@each(name=NETS)
def test_every_side_has_the_rank_of_dense_singular_values(name: str) -> None:
    shape, num_data = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = shape.build().double()
        x = torch.randn(num_data, shape.widths[0], dtype=torch.float64)
    point, found = laid_open(Problem(model, (x, torch.zeros(num_data, shape.widths[-1])), "mse"))
    truth = int(torch.linalg.matrix_rank(dense_at(point).jacobian))
    opened = open_batch(point, found, Batch(point.x, point.y, 0))
    factors = region_factors(opened, torch.eye(shape.widths[-1], dtype=torch.float64), PRIME)
    n = factors.shape[0]
    assert factors.shape == tuple(dense_at(point).jacobian.shape)
    for side in (Side(factors.shape, True, n, 0.0), Side(factors.shape, False, n, 0.0)):
        assert side.rank(factors) == truth
    for k in (truth - 2, min(truth + SPARE, n - 1)):  # combinations of too few rows show as many directions
        assert Side(factors.shape, False, k, 0.0).rank(factors) == min(k, truth)


@each(
    ("shape", "widths", "most", "side"),
    [
        ((10, 1000), 20, 10, Side((10, 1000), True, 10, 100 * (20 + 20 / 3) / 2)),
        ((10, 12), 200, 10, Side((10, 12), False, 10, 10 * 10 * 12)),  # k is cut to n: nothing is combined
        ((10, 12), 200, 2, Side((10, 12), False, 10, 10 * 10 * 12)),
        ((10, 12), 200, 1, Side((10, 12), False, 9, 10 * 9 * 12 + 9 * 9 * 12)),
        ((9000, 50), 20, 50, Side((9000, 50), False, 58, 9000 * 58 * 50 + 58 * 50 * 50)),
    ],
)
def test_the_cheaper_side_is_taken(shape: tuple[int, int], widths: int, most: int, side: Side) -> None:
    found = cheapest_side(shape, widths, most, AMPLE)
    assert (found.shape, found.gram, found.k) == (side.shape, side.gram, side.k)
    if (shape, most) != ((10, 12), 1):
        assert found.cost == pytest.approx(side.cost)


@each(
    ("memory", "gram"),
    [
        (2 * 8 * 100 * 100, True),  # the cheaper one fits
        (2 * 8 * 100 * 100 - 1, False),
        (2 * 8 * 28 * 300, False),  # the smaller one fits
        (2 * 8 * 28 * 300 - 1, True),  # neither does
    ],
)
def test_what_does_not_fit_is_not_taken(memory: int, gram: bool) -> None:
    found = cheapest_side((100, 300), 5, 20, memory)
    assert (found.gram, found.k) == (gram, 100 if gram else 28)


@each(
    ("P", "memory", "gram"),
    [
        (53, AMPLE, False),  # 21,200 multiplications against eight times 2,667
        (54, AMPLE, True),
        (53, 2 * 8 * 20 * 53, False),
        (53, 2 * 8 * 20 * 53 - 1, True),
    ],
)
def test_rows_are_surer_and_may_cost_eight_times_as_much(P: int, memory: int, gram: bool) -> None:
    found = surest_side((20, P), 0, 20, memory)
    assert (found.shape, found.gram, found.k) == ((20, P), gram, 20)
    assert surest_side((200, 53), 0, 20, AMPLE).k == 20 + SPARE


def test_the_chance_is_that_of_the_minors_of_its_side() -> None:
    bits = MinorBits(columns=torch.tensor([30.0, 14.0, 99.0]), rows=torch.tensor([88.0, 22.0]))
    assert Side((5, 9), False, 5, 0.0).chance(bits, 2) == 2 / NUM_PRIMES
    assert Side((5, 9), True, 5, 0.0).chance(bits, 2) == 2 * 5 / NUM_PRIMES
    assert Side((5, 9), True, 5, 0.0).chance(bits, 1) == 2 * 4 / NUM_PRIMES


def test_what_fits() -> None:
    assert [rows_that_fit(memory) for memory in (1, 1599, 1600, 1936)] == [1, 9, 10, 11]
    assert combinations_fit(2, 10, 2 * 8 * 10 * 10)
    assert not combinations_fit(2, 10, 2 * 8 * 10 * 10 - 1)
