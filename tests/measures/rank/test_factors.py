"""The Jacobian as outer products: against autodiff in floating point, against Python integers modulo a prime."""

import pytest
import torch
from torch import Tensor

from scalecurv.measures.rank import factors
from scalecurv.measures.rank.elimination import Side, cheapest_side, rows_that_fit, surest_side
from scalecurv.measures.rank.factors import JacobianFactors, factors_of, random_residues, region_factors
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.problem.problem import Problem
from tests.dense import dense
from tests.loops import each
from tests.measures.rank.test_region import PRIMES, dyadic, exact_jacobian, modulo, open_all
from tests.piecewise import SHAPES, Case, close, data, network, opened, truth

COMBINED = {"all": None, "one": 1, "two": 2, "more than there are": 5}


def of_case(shape: str) -> tuple[Problem, Tensor]:
    return opened(Case(shape, "mse"))[0], truth(Case(shape, "mse")).jacobian


@each(shape=SHAPES, count=COMBINED.values())
def test_against_autodiff(shape: str, count: int | None) -> None:
    """S J for combinations S of the outputs, by columns: layers, within each weights before biases."""
    problem, J = of_case(shape)
    D = problem.num_outputs
    rng = torch.Generator().manual_seed(0)
    eye = torch.eye(D, dtype=torch.float64)
    S = eye if count is None else torch.randn(count, D, generator=rng, dtype=torch.float64)
    expected = (S @ J.view(-1, D, problem.num_params)).flatten(0, 1)
    found = factors_of(open_all(problem), S)
    assert found.shape == expected.shape
    close(found.dense(), expected)
    close(found.gram(), expected @ expected.T)


@pytest.mark.parametrize("shape", ["two hidden", "some biases", "one layer, no bias"])
def test_each_sample_with_combinations_of_its_own(shape: str) -> None:
    problem, J = of_case(shape)
    D = problem.num_outputs
    S = torch.randn(len(problem.x), 2, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    here = open_all(problem)
    found = JacobianFactors(here.inputs, here.pulled(S), tuple(b is not None for b in here.biases))
    expected = torch.einsum("ncd,ndp->ncp", S, J.view(-1, D, problem.num_params)).flatten(0, 1)
    close(found.dense(), expected)
    close(found.gram(), expected @ expected.T)


@pytest.mark.parametrize("rows", [1, 3, 6, 7, 12, 20])
def test_tiles_of_the_gram_matrix(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """7 samples of 3 outputs: single samples, ragged last tiles, all but one."""
    problem, J = of_case("two hidden")
    monkeypatch.setattr(factors, "ROWS", rows)
    seen = []
    whole = JacobianFactors._gram
    monkeypatch.setattr(JacobianFactors, "_gram", lambda self, *tile: seen.append(tile) or whole(self, *tile))
    close(factors_of(open_all(problem), torch.eye(3, dtype=torch.float64)).gram(), J @ J.T)
    tiles = -(-7 // max(1, rows // 3))
    assert len(seen) == tiles * (tiles + 1) // 2
    assert max((t.stop - t.start) * 3 for tile in seen for t in tile) <= max(rows, 3)


@pytest.mark.parametrize(("numbers", "sizes"), [(1, [3] * 7), (2 * 3 * 77 + 5, [6, 6, 6, 3]), (10**6, [21])])
def test_runs_of_rows(monkeypatch: pytest.MonkeyPatch, numbers: int, sizes: list[int]) -> None:
    """As many samples at once as `NUMBERS` allows, one at least; the runs follow one another."""
    problem, J = of_case("two hidden")
    assert problem.num_params == 77 - 3
    monkeypatch.setattr(factors, "NUMBERS", numbers)
    runs = list(factors_of(open_all(problem), torch.eye(3, dtype=torch.float64)).blocks())
    assert [len(block) for _, block in runs] == sizes
    for rows, block in runs:
        close(block, J[rows], float(J.abs().max()))
    assert [i for rows, _ in runs for i in range(rows.start, rows.stop)] == list(range(21))


INTEGER = {
    "relu": dyadic((3, 4, 3, 2), 6, 4),
    "no biases": dyadic((2, 4, 2, 3), 5, 5, biases=(False,) * 3),
    "some biases": dyadic((3, 3, 2, 2), 5, 6, biases=(False, True, False)),
    "one layer": dyadic((3, 2), 5, 7),
}


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("name", INTEGER)
@pytest.mark.parametrize("small", [False, True], ids=["in one go", "by tiles"])
def test_modulo_a_prime(monkeypatch: pytest.MonkeyPatch, name: str, prime: int, small: bool) -> None:
    """J, J J' and S J in whole numbers, remainders within half a prime of 0."""
    if small:
        monkeypatch.setattr(factors, "ROWS", 5)
        monkeypatch.setattr(factors, "NUMBERS", 100)
    opened, D = open_all(INTEGER[name]), INTEGER[name].num_outputs
    found = region_factors(opened, torch.eye(D), prime)
    J = modulo(exact_jacobian(opened, torch.eye(D)), prime).long()
    S = random_residues((4, len(J)), prime, 0, "test", torch.device("cpu"))
    assert found.shape == tuple(J.shape)
    for ours, exact in [(found.dense(), J), (found.gram(), J @ J.T), (found.combined(S), S.long() @ J)]:
        assert float(ours.abs().max()) <= prime / 2
        assert torch.equal(ours.long() % prime, exact % prime)


def test_sums_longer_than_float64_holds() -> None:
    """1100 rows, residues of the largest prime: combinations in int64, each product reduced, as the oracle."""
    prime, problem = PRIMES[1], Problem(network("one output", "mse"), data("one output", "mse", 1100), "mse")
    found = region_factors(open_all(problem), torch.eye(1), prime, generic=0)
    J = found.dense()
    S = random_residues((3, 1100), prime, 0, "test", torch.device("cpu"))
    exact = (S.long()[:, :, None] * J.long()[None] % prime).sum(1) % prime
    assert torch.equal(found.combined(S).long() % prime, exact)
    gram = (J.long()[:40, None, :] * J.long()[None] % prime).sum(2) % prime
    assert torch.equal(found.gram()[:40].long() % prime, gram)


def test_columns_are_those_of_theta() -> None:
    """A step along one column of theta moves f by that column, exactly where the slopes do not change."""
    problem = dyadic((3, 4, 2), 5, 8)
    J = factors_of(open_all(problem), torch.eye(2, dtype=torch.float64)).dense()
    expected = dense(problem.model, problem.x, problem.y, "mse").jacobian
    assert torch.equal(J, expected)
    assert problem.space.slices["0.bias"] == slice(12, 16)
    on = (problem.model[0](problem.x) > 0).double()
    assert torch.equal(J[0::2, 12:16], on * problem.model[2].weight[0].detach())
    assert torch.equal(J[0::2, 24:26], torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(5, 2))


def test_every_side_has_the_same_rank() -> None:
    """J J', all rows, combinations of them; the cheaper one that fits."""
    opened, seeds = open_all(dyadic((4, 3, 2), 40, 2)), torch.eye(2, dtype=torch.float64)
    rank = int(torch.linalg.matrix_rank(factors_of(opened, seeds).dense()))
    region, bits = region_factors(opened, seeds, PRIMES[1]), minor_bits(opened, seeds)
    n, P = region.shape
    gram, whole_rows, some = Side((n, P), True, n, 0), Side((n, P), False, n, 0), Side((n, P), False, rank + 8, 0)
    assert {side.rank(region) for side in (gram, whole_rows, some)} == {rank}
    assert Side((n, P), False, rank - 3, 0).rank(region) == rank - 3
    assert gram.chance(bits, rank) == min(1, bits.of_gram(rank) // 22 / 268_216) > some.chance(bits, rank) > 0
    assert cheapest_side((10, 1000), 20, 10, 1 << 30).gram
    assert cheapest_side((30, 1000), 20, 30, 1 << 30).gram
    assert not cheapest_side((1000, 10), 20, 10, 1 << 30).gram
    assert cheapest_side((1000, 10), 20, 10, 1).gram  # neither fits
    assert (cheapest_side((1000, 50), 20, 10, 1 << 30).k, cheapest_side((9, 9), 9, 9, 1 << 30).k) == (18, 9)
    assert not surest_side((20, 60), 30, 20, 1 << 30).gram
    assert surest_side((20, 6000), 30, 20, 1 << 30).gram
    assert surest_side((20, 60), 30, 20, 8 * 2 * 20 * 59).gram
    assert all(8 * rows_that_fit(m) ** 2 <= m / 2 < 8 * (rows_that_fit(m) + 1) ** 2 for m in (16, 999, 10**6))
