"""Fresh probes: the terms of dense matrices of blocks, whatever holds the samples; blocks fixed by the data alone."""

import pickle
from functools import cache

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.measures.evaluation import Evaluation, run_here
from scalecurv.measures.moments import fresh
from scalecurv.measures.moments.fresh import FreshTerms, block_size, num_blocks
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from tests.dense import Dense, dense_at
from tests.networks import data, network

N, SEED = 23, 3
NETS = ("tanh", "conv")


def point(name: str, loss: str = "cross_entropy", **options: object) -> Problem:
    return Problem(network(name), data(loss, num_data=N), loss, **options)


def rows(problem: Problem, terms: FreshTerms, ids: range = range(4)) -> np.ndarray:
    return terms(CountingOperator(HessianOperator(problem)), SEED, ids)


def every(problem: Problem) -> tuple[str, ...]:
    return tuple(problem.space.shapes)


@cache
def of_blocks(name: str, loss: str) -> list[Dense]:
    """Return the dense oracle of each block's samples alone, the loss summed."""
    (x, y), size = data(loss, num_data=N), block_size(N)
    parts = [slice(start, start + size) for start in range(0, N, size)]
    return [dense_at(Problem(network(name), (x[some], y[some]), loss, reduction="sum")) for some in parts]


def dense_blocks(name: str, loss: str, residual: bool) -> list[torch.Tensor]:
    """Return the share of each block in H, or in H - G."""
    return [(at.hessian - at.gauss_newton if residual else at.hessian) / N for at in of_blocks(name, loss)]


@pytest.mark.parametrize("residual", [False, True])
def test_terms_are_those_of_dense_blocks(residual: bool) -> None:
    """z_b'A_b z_b by layer, whose expectation over z_b is tr A_b: the blocks add to the whole."""
    for name, loss in zip(NETS, ["cross_entropy", "mse"], strict=True):
        problem = point(name, loss)
        blocks, terms = dense_blocks(name, loss, residual), FreshTerms(every(problem), residual)
        found = rows(problem, terms)
        assert found.shape == (4, len(blocks), len(problem.space.layers)) == (4, num_blocks(N), found.shape[2])
        whole = dense_at(problem)
        total, atol = whole.hessian - residual * whole.gauss_newton, 1e-12 * float(whole.hessian.norm())
        assert torch.allclose(sum(blocks), total, rtol=0, atol=atol)
        for block, A in enumerate(blocks):
            Z = terms._probes(problem, SEED, block, range(4))
            assert set(Z.unique().tolist()) == {-1.0, 1.0}
            by_layer = [(Z[part] * (A @ Z)[part]).sum(0) for part in problem.space.layers.values()]
            np.testing.assert_allclose(found[:, block], torch.stack(by_layer, 1), 0, atol)


def test_blocks_have_probes_of_their_own() -> None:
    problem = point("tanh")
    terms = FreshTerms(every(problem))
    drawn = torch.cat([terms._probes(problem, SEED, block, range(4)) for block in range(num_blocks(N))], dim=1)
    overlaps = (drawn.T @ drawn / problem.num_params).fill_diagonal_(0).abs()
    assert float(overlaps.max()) < 0.6  # 1 where two blocks or two passes share a probe


def test_probes_stay_within_the_tensors() -> None:
    """The trace over some tensors is that of their block of H, by terms that the others do not enter."""
    problem = point("tanh")
    names = ("0.weight", "4.bias")
    terms = FreshTerms(names)
    truth = dense_blocks("tanh", "cross_entropy", False)
    places = torch.cat([torch.arange(problem.num_params)[problem.space.slices[name]] for name in names])
    found = rows(problem, terms)
    for block, A in enumerate(truth):
        Z = terms._probes(problem, SEED, block, range(4))
        assert set(torch.nonzero(Z.abs().sum(1))[:, 0].tolist()) == set(places.tolist())
        z = Z[places]
        np.testing.assert_allclose(found[:, block].sum(1), (z * (A[places][:, places] @ z)).sum(0), rtol=1e-10)
    assert not found[:, :, 1].any()  # the layer between them


@pytest.mark.parametrize("residual", [False, True])
def test_neither_mini_batches_nor_columns_nor_workers_change_a_term(residual: bool) -> None:
    """Mini-batches of 1, 3 and 5 samples cut through blocks of 2; memory for one column at a time; a worker's copy."""
    for name in ("tanh", "conv"):
        wanted = rows(point(name), terms := FreshTerms(every(point(name)), residual))
        size = np.abs(wanted).max()
        for options in ({"batch_size": 3}, {"batch_size": 5}, {"memory": 20_000}):
            np.testing.assert_allclose(rows(point(name, **options), terms), wanted, 0, 1e-13 * size)
        blocks = [range(4), range(4, 8)]
        here = run_here(point(name), HessianOperator, terms, SEED, blocks)
        sent = pickle.loads(pickle.dumps(terms))
        there = [run_here(point(name), HessianOperator, sent, SEED, [ids])[0] for ids in blocks]
        assert all(a.tobytes() == b.tobytes() and m == n == 4 for (a, m), (b, n) in zip(here, there, strict=True))
        assert sent == terms  # equal keys: rows are found again


def test_blocks_that_follow_mini_batches_would_change_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: a partition by memory gives each machine a number of its own."""
    terms = FreshTerms(every(point("tanh")))
    sums = []
    for size in (5, 9):
        monkeypatch.setattr(fresh, "block_size", lambda num_data, size=size: size)
        sums.append(rows(point("tanh", batch_size=size), terms).sum((1, 2)))
    assert np.abs(sums[0] - sums[1]).min() > 1e-3 * np.abs(sums).max()


def test_a_pass_costs_one_product() -> None:
    evaluation = Evaluation(point("tanh"))
    terms = FreshTerms(every(evaluation.problem))
    first = evaluation.terms(4, terms, double=True)
    assert evaluation.total_matvecs == 4
    more = evaluation.terms(16, terms, double=True)
    assert evaluation.total_matvecs == 16
    assert (more[:4] == first).all()


def test_a_product_that_overflows_is_said() -> None:
    problem = point("tanh", "mse")
    problem.theta = problem.theta * 1e200
    with pytest.raises(FloatingPointError, match="is not finite; try --dtype float64, or look at the weights"):
        rows(problem, FreshTerms(every(problem)))


def test_the_spread_is_that_of_the_blocks() -> None:
    """The variance of a pass is 2 sum_b (|A_b|^2 - sum of squares of its diagonal): far below that of one probe."""
    problem = point("tanh")
    x = rows(problem, FreshTerms(every(problem)), range(1000)).sum((1, 2))
    blocks = dense_blocks("tanh", "cross_entropy", False)
    spread = sum(2 * float((A**2).sum() - (A.diagonal() ** 2).sum()) for A in blocks)
    whole = sum(blocks)
    assert x.var(ddof=1) == pytest.approx(spread, rel=0.25)
    assert spread < 2 * float((whole**2).sum() - (whole.diagonal() ** 2).sum())
    assert abs(x.mean() - float(whole.trace())) < 4 * (spread / 1000) ** 0.5
