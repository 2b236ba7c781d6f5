"""An MLP modulo a prime against the same network in fractions: forward passes alone, one parameter moved at a time."""

from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from scalecurv.measures.rank.factors import random_residues, region_factors
from scalecurv.mlp.layers import OpenBatch, open_batch
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from tests.loops import each
from tests.piecewise import Shape, data, laid_open, network

PRIMES = (101, 8_388_593)  # the larger one is the largest below 2^23
CPU = torch.device("cpu")


def open_all(problem: Problem) -> OpenBatch:
    return open_batch(problem, laid_open(problem)[1], Batch(problem.x, problem.y, 0))


def fractions(t: Tensor) -> np.ndarray:
    return np.vectorize(Fraction, otypes=[object])(t.numpy())


def exact_jacobian(opened: OpenBatch, seeds: Tensor) -> np.ndarray:
    """(N C, P) of fractions: with the slopes frozen f is affine in each single parameter, so J e_k = f(. + e_k) - f."""
    slopes, parameters = [fractions(s) for s in opened.slopes], []
    for weight, bias in zip(opened.weights, opened.biases, strict=True):
        parameters += [fractions(weight)] + ([] if bias is None else [fractions(bias)])
    x, C = fractions(opened.inputs[0]), fractions(seeds)

    def outputs() -> np.ndarray:
        a, left = x, iter(parameters)
        for l, bias in enumerate(opened.biases):
            a = a @ next(left).T
            a = a if bias is None else a + next(left)
            a = a * slopes[l] if l < len(slopes) else a
        return (a @ C.T).reshape(-1)

    columns, before = [], outputs()
    for parameter in parameters:
        for i in np.ndindex(parameter.shape):
            parameter[i] += 1
            columns.append(outputs() - before)
            parameter[i] -= 1
    return np.stack(columns, 1)


def modulo(matrix: np.ndarray, prime: int) -> Tensor:
    """In 0 .. prime - 1, by Python integers."""
    found = [[int(Fraction(q).numerator * pow(Fraction(q).denominator, -1, prime)) % prime for q in r] for r in matrix]
    return torch.tensor(found, dtype=torch.float64)


def rank_of(matrix: np.ndarray) -> int:
    """By elimination in fractions."""
    rows, rank = [list(map(Fraction, row)) for row in matrix], 0
    for j in range(len(rows[0])):
        pivot = next((row for row in rows if row[j]), None)
        if pivot is None:
            continue
        rows = [row for row in rows if row is not pivot]
        rank += 1
        for row in rows:
            if row[j]:
                factor = row[j] / pivot[j]
                row[j:] = [a - factor * b for a, b in zip(row[j:], pivot[j:], strict=True)]
        if not rows:
            break
    return rank


def dyadic(widths: tuple[int, ...], num_data: int, seed: int, phi: object = nn.ReLU, biases: object = ()) -> Problem:
    """Weights in eighths, inputs in quarters, a few of both 0."""
    rng = torch.Generator().manual_seed(seed)
    model = Shape(widths, (phi,) * (len(widths) - 2), biases).build().double()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randint(-12, 13, p.shape, generator=rng) / 8)
    x = torch.randint(-9, 10, (num_data, widths[0]), generator=rng).double() / 4
    return Problem(model, (x, x[:, :1].expand(-1, widths[-1])), "mse")


NETS = {
    "dyadic": dyadic((3, 4, 3, 2), 5, 0),
    "no biases": dyadic((3, 4, 3, 2), 5, 1, biases=(False,) * 3),
    "some biases": dyadic((2, 3, 3, 2), 5, 2, partial(nn.LeakyReLU, 0.25), (True, False, True)),
    "linear": dyadic((3, 2), 4, 3),
    "linear, deep": dyadic((3, 2, 3), 4, 3, nn.Identity),
    "any floats": Problem(network("one output", "mse"), data("one output", "mse"), "mse"),
    "any slopes": Problem(network("no biases", "mse"), data("no biases", "mse", 5), "mse"),
}


@each(prime=PRIMES, name=NETS, output=["all", "combined"])
def test_residues_of_the_exact_jacobian(name: str, output: str, prime: int) -> None:
    opened = open_all(NETS[name])
    D = NETS[name].num_outputs
    seeds = torch.eye(D, dtype=torch.float64) if output == "all" else torch.arange(2.0 * D).view(2, D) - 3
    found = region_factors(opened, seeds, prime).dense()
    assert float(found.abs().max()) <= prime / 2
    assert torch.equal(found % prime, modulo(exact_jacobian(opened, seeds), prime))


def test_dyadic_networks_need_no_modulus() -> None:
    """In whole units J is made of small whole numbers: autodiff's float64 is exact as well."""
    problem = NETS["dyadic"]
    J = torch.func.jacrev(lambda theta: problem.outputs(theta, problem.x).flatten())(problem.theta)
    assert np.array_equal(exact_jacobian(open_all(problem), torch.eye(2)), fractions(J))


@each(name=["one layer", "one output", "two hidden", "no biases", "some biases"])
def test_generic_keeps_inputs_and_pattern(name: str) -> None:
    """Random residues for weights and biases alone: what was 0 by its slope stays 0, and nothing else is."""
    problem = Problem(network(name, "mse"), data(name, "mse"), "mse")
    opened, seeds = open_all(problem), torch.eye(problem.num_outputs)
    here, other, again, second = (region_factors(opened, seeds, PRIMES[1], g) for g in (None, 5, 5, 6))
    assert torch.equal(other.inputs[0], here.inputs[0])
    assert torch.equal(other.rows[-1], here.rows[-1])
    assert other.biased == here.biased
    assert torch.equal(other.dense(), again.dense())
    for l, slope in enumerate(opened.slopes):
        for found in (other, second):
            assert torch.equal(found.inputs[l + 1] != 0, slope != 0)
        for found in (here, second):
            assert (found.inputs[l + 1] != other.inputs[l + 1])[slope != 0].float().mean() > 0.99
            assert not torch.equal(found.rows[l], other.rows[l])


@each(biased=[True, False])
def test_generic_is_one_network_for_all_samples(biased: bool) -> None:
    """Without kinks its weights can be read off at x = 0 and unit vectors: other samples see the same ones."""
    problem = dyadic((3, 4, 5, 2), 5, 0, nn.Identity, (biased,) * 3)
    problem.x[:4] = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    prime = PRIMES[1]
    found = region_factors(open_all(problem), torch.eye(2), prime, generic=1)
    a, second = fractions(found.inputs[1]), fractions(found.inputs[2])
    b, W = a[0], (a[1:4] - a[0]).T
    last, both = fractions(found.rows[1][0]), fractions(found.rows[0][0])  # W_3 and W_3 W_2
    x = np.vectorize(lambda q: Fraction(q.numerator * pow(q.denominator, -1, prime)))(fractions(problem.x))
    difference = (second[4] - second[0]) @ last.T
    assert not (modulo((x[4:] @ W.T + b - a[4:]), prime)).any()
    assert not modulo((both @ (a[4] - a[0]) - difference)[None], prime).any()
    assert bool(b.any()) is biased
    assert len({*W.flat, *last.flat, *b.flat}) == 12 + 10 + (4 if biased else 1)  # none is drawn twice


def test_random_residues_are_uniform() -> None:
    drawn = random_residues((700, 100), 7, 3, "s", CPU)
    assert drawn.dtype == torch.float64
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert float(((counts - 10_000) ** 2 / 10_000).sum()) < 22.5  # chi^2 of 6 degrees of freedom: one in 1000
    large = random_residues((1000,), PRIMES[1], 3, "s", CPU)
    assert float(large.abs().max()) <= PRIMES[1] // 2
    assert abs(float((large / PRIMES[1]).std()) - 12**-0.5) < 0.02
    same = random_residues((1000,), PRIMES[1], 3, "s", CPU)
    assert torch.equal(large, same)
    for other in (
        random_residues((1000,), PRIMES[1], 4, "s", CPU),
        random_residues((1000,), PRIMES[1], 3, "t", CPU),
    ):
        assert int((large == other).sum()) <= 3
