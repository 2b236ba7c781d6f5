"""Bits of the minors of J: minors in exact arithmetic never have more, in units in which J is made of whole numbers."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv.measures.rank.minor_bits import MinorBits, _last_bits, minor_bits
from scalecurv.problem.problem import Problem
from tests.measures.rank.test_region import dyadic, exact_jacobian, open_all
from tests.piecewise import Shape, data, network

SIZES, DRAWS = (1, 2, 3, 4, 6, 8), 12
NETS = {
    "relu": dyadic((2, 3, 2, 2), 5, 6),
    "leaky": dyadic((3, 2, 2), 5, 1, partial(nn.LeakyReLU, 0.25)),
    "no biases": dyadic((2, 3, 2, 1), 8, 2, biases=(False,) * 3),
    "some biases": dyadic((2, 3, 2, 2), 5, 3, nn.ReLU, (True, False, True)),
    "one layer": dyadic((3, 2), 5, 4),
    "any floats": Problem(network("one output", "mse"), data("one output", "mse", 8), "mse"),
}
by_name = pytest.mark.parametrize("name", NETS)


def determinant(matrix: np.ndarray) -> int:
    """By Bareiss: whole numbers throughout."""
    A, before, sign = [[int(q) for q in row] for row in matrix], 1, 1
    for k in range(len(A) - 1):
        swap = next((i for i in range(k, len(A)) if A[i][k]), None)
        if swap is None:
            return 0
        if swap != k:
            A[k], A[swap], sign = A[swap], A[k], -sign
        for i in range(k + 1, len(A)):
            for j in range(k + 1, len(A)):
                A[i][j] = (A[i][j] * A[k][k] - A[i][k] * A[k][j]) // before
        before = A[k][k]
    return sign * A[-1][-1]


def whole(problem: Problem, seeds: Tensor, by_column: bool = True) -> np.ndarray:
    """The exact J in units of the last bits of its columns, or of the least of them for all."""
    opened, exponents = open_all(problem), []
    for last, weight, bias in zip(_last_bits(opened), opened.weights, opened.biases, strict=True):
        exponents += [last.weights] * weight.numel() + ([] if bias is None else [last.biases] * bias.numel())
    units = exponents if by_column else [min(exponents)] * len(exponents)
    return exact_jacobian(opened, seeds) / np.array([Fraction(2) ** e for e in units])


def seeds_of(problem: Problem, kind: str) -> Tensor:
    D = problem.num_outputs
    return torch.eye(D, dtype=torch.float64) if kind == "outputs" else torch.arange(2.0 * D).double().view(2, D) - 3


@by_name
@pytest.mark.parametrize("kind", ["outputs", "combined"])
def test_no_minor_has_more_bits(name: str, kind: str) -> None:
    """Random minors of J, and random principal minors of J J', of every size; the largest entries among them."""
    problem = NETS[name]
    seeds, rng = seeds_of(problem, kind), np.random.default_rng(0)
    bits, J, whole_rows = minor_bits(open_all(problem), seeds), whole(problem, seeds), whole(problem, seeds, False)
    for matrix in (J, whole_rows):
        assert all(q.denominator == 1 for q in matrix.flat)
    gram, found = whole_rows @ whole_rows.T, 0
    assert max(abs(q) for q in J.flat) <= Fraction(2 ** bits.of_jacobian(1))
    assert max(gram.diagonal()) <= Fraction(2 ** bits.of_gram(1))
    for size in (s for s in SIZES if s <= min(J.shape)):
        for _ in range(DRAWS):
            rows, columns = (rng.permutation(n)[:size] for n in J.shape)
            for minor, most in [
                (determinant(J[np.ix_(rows, columns)]), bits.of_jacobian(size)),
                (determinant(gram[np.ix_(rows, rows)]), bits.of_gram(size)),
            ]:
                found += minor != 0
                assert minor == 0 or math.log2(abs(minor)) <= most
    assert found > 3 * DRAWS


@by_name
def test_every_column_and_row_by_itself(name: str) -> None:
    """Sorted norms of the exact columns and rows stay below the sorted bits, one by one."""
    problem = NETS[name]
    seeds = seeds_of(problem, "outputs")
    bits, J, R = minor_bits(open_all(problem), seeds), whole(problem, seeds), whole(problem, seeds, False)
    for ours, squares in [(bits.columns, (J * J).sum(0)), (bits.rows, (R * R).sum(1))]:
        exact = sorted((math.log2(q) / 2 for q in squares if q), reverse=True)
        assert len(ours) >= len(exact)
        assert all(most >= size for most, size in zip(ours.tolist(), exact, strict=False))
        assert ours.tolist() == sorted(ours.tolist(), reverse=True)


def linear(x: list[list[float]], biased: bool = False) -> MinorBits:
    model = Shape((len(x[0]), 1), (), (biased,)).build().double()
    X = torch.tensor(x, dtype=torch.float64)
    return minor_bits(open_all(Problem(model, (X, X[:, :1]), "mse")), torch.ones(1, 1, dtype=torch.float64))


def test_sharp_on_a_diagonal() -> None:
    """J = diag(3, 5, 7), in halves, in eights: the last bits of all inputs are their unit."""
    size = math.log2(3 * 5 * 7)
    for unit in (1, 0.5, 8, 2**-40):
        bits = linear([[3 * unit, 0, 0], [0, 5 * unit, 0], [0, 0, 7 * unit]])
        assert bits.of_jacobian(3) == pytest.approx(size, rel=2e-6)
        assert bits.of_gram(3) == pytest.approx(2 * size, rel=2e-6)
        assert bits.of_jacobian(1) == pytest.approx(math.log2(7), rel=2e-6)
        assert bits.of_gram(2) == pytest.approx(2 * math.log2(35), rel=2e-6)
        assert bits.of_jacobian(3) >= size
        assert bits.of_jacobian(9) == bits.of_jacobian(3)
    assert linear([[2.0, 0], [0, 16]]).of_jacobian(2) == pytest.approx(3, rel=2e-6)


def test_biases_have_units_of_their_own() -> None:
    """J = [X, 1] with X in quarters: columns of 12, of 1 and of 1, but rows in quarters throughout."""
    bits = linear([[3.0, 0.25]], biased=True)
    assert bits.columns.tolist() == pytest.approx([math.log2(12), 0, 0], rel=2e-6)
    assert bits.rows.tolist() == pytest.approx([0.5 * math.log2(12**2 + 1 + 4**2)], rel=2e-6)


def test_more_digits_more_bits() -> None:
    """Ten more bits in the inputs of a linear net: as many more in each of its columns, twice as many in J J'."""
    x = torch.randint(2**19, 2**20, (6, 3), generator=torch.Generator().manual_seed(0)).double() * 2 + 1
    model = Shape((3, 1), (), (False,)).build().double()

    def bits(x: Tensor) -> MinorBits:
        return minor_bits(open_all(Problem(model, (x, x[:, :1]), "mse")), torch.ones(1, 1, dtype=torch.float64))

    more = x + 2.0**-10
    assert bits(more).of_jacobian(3) - bits(x).of_jacobian(3) == pytest.approx(30, abs=0.01)
    assert bits(more).of_gram(3) - bits(x).of_gram(3) == pytest.approx(60, abs=0.01)
    assert bits(x / 3).of_jacobian(3) > bits(x).of_jacobian(3) + 60


def test_zeros_have_no_bits() -> None:
    """A constant-zero input and neurons that are off: their columns take no part."""
    problem = NETS["relu"]
    x = problem.x.clone()
    x[:, 0] = 0
    with_zeros = Problem(problem.model, (x, problem.y), "mse")
    opened = open_all(with_zeros)
    columns = int((exact_jacobian(opened, torch.eye(2, dtype=torch.float64)) != 0).any(0).sum())
    assert columns < problem.num_params
    assert len(minor_bits(opened, torch.eye(2, dtype=torch.float64)).columns) == columns
    assert len(minor_bits(open_all(problem), torch.eye(2, dtype=torch.float64)).columns) > columns
