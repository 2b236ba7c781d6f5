"""A dataset spread over ranks gives what it gives in one place, the same bits on every rank, or is refused."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from scalecurv.affine.traces import sample_traces, tensor_traces
from scalecurv.errors import Misuse
from scalecurv.measures.noise import runner_up
from scalecurv.mlp.activation_pattern import kink_margin, kinks, num_touched
from scalecurv.mlp.block_norms import split_norms
from scalecurv.mlp.euler_bounds import euler_bounds
from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import exact_diagonal, layer_traces, output_probe_terms
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.shard import Shard
from tests.loops import each
from tests.networks import data, network
from tests.ranks import SIZE, answers, ask_ranks, same

pytestmark = pytest.mark.xdist_group("ranks")  # one group of processes answers all of them

N = 21  # 10 samples on the first rank, 11 on the second
ODD = 17  # a sample of the second rank
POINTS = {
    f"{name} {loss} {reduction} {options}": (name, loss, reduction, options)
    for name, loss, reduction, options in (
        ("relu", "mse", "mean", {}),
        ("relu", "mse", "sum", {"batch_size": 4}),
        ("relu", "cross_entropy", "mean", {"memory": 1}),  # one sample and one vector at a time
        ("relu", "cross_entropy", "sum", {"batch_size": 11}),
        ("tanh", "mse", "sum", {"memory": 60_000}),
        ("tanh", "cross_entropy", "mean", {"batch_size": 3}),
        ("conv", "mse", "mean", {}),
        ("batch norm", "cross_entropy", "sum", {"batch_size": 5}),
        ("relu", "mse", "mean", {"dtype": torch.float32}),
        ("tanh", "cross_entropy", "mean", {"dtype": torch.float32, "batch_size": 4}),
        ("relu", "mse", "mean", {"weight_decay": 0.3, "batch_size": 4}),
        ("tanh", "cross_entropy", "mean", {"weight_decay": 0.3, "params": "^2[.]"}),
    )
}


def point(name: str, loss: str, reduction: str, options: dict[str, Any], shard: Shard | None) -> Problem:
    x, y = data(loss, num_data=N)
    return Problem(network(name), (x.numpy(), y.numpy()), loss, reduction=reduction, shard=shard, **options)


def products(*args: Any, shard: Shard | None) -> dict[str, np.ndarray]:
    at, loss_name = point(*args, shard), args[1]
    rng = torch.Generator().manual_seed(3)
    V = torch.randn(at.num_params, 3, generator=rng, dtype=torch.float64)
    U = torch.randn(N * at.num_outputs, 2, generator=rng, dtype=torch.float64)
    loss, gradient = loss_and_gradient(at)
    found = {
        "loss": torch.tensor(loss),
        "gradient": gradient,
        "hessian": HessianOperator(at) @ V,
        "gauss-newton": GaussNewtonOperator(at) @ V,
        "jacobian": JacobianOperator(at).rmatmat(U),
    }
    found |= {
        "tensor traces": tensor_traces(at, list(at.space.shapes)),
        "sample traces": at.shard.add(sample_traces(at).sum()[None]),
    }
    if loss_name == "cross_entropy":
        found["runner up"] = torch.tensor(runner_up(at))
    if (mlp := structure_of(at)) is not None:
        found |= {
            "traces": layer_traces(at, mlp),
            "diagonal": torch.cat([part.flatten() for part in exact_diagonal(at, mlp).values()]),
            "kinks": kinks(at, mlp),
            "euler": euler_bounds(at, mlp),
        }
    return {name: number.numpy() for name, number in found.items()}


def added(shard: Shard | None) -> dict[str, np.ndarray]:
    """Return sums of numbers that ranks hold differently: 2^-30 beside 1 in float32, a matrix by rows and columns."""
    assert shard is not None
    tiny, A = torch.tensor([1.0, 2.0**-30])[shard.rank], torch.arange(6.0).view(2, 3)
    laid = A if shard.rank else A.T.contiguous().T
    return {"tiny": shard.add(tiny).numpy(), "laid": shard.add(laid).numpy(), "kept": laid.numpy()}


QUESTIONS = {
    **{name: (lambda shard, args=args: products(*args, shard=shard)) for name, args in POINTS.items()},
    "added": added,
}


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    return [found["tests.problem.test_shard"] for found in ask_ranks()]


def test_sums_over_ranks_are_sums_over_data(ranks: list[dict[str, Any]]) -> None:
    for name in POINTS:
        wanted = answers({name: QUESTIONS[name]})[name]
        for found in ranks:
            assert found[name].keys() == wanted.keys()
            for quantity, value in wanted.items():
                off = np.abs(found[name][quantity].astype(np.float64) - value).max()
                assert off <= (2e-6 if "float32" in name else 1e-12) * np.abs(value).max(), (name, quantity)


def test_all_ranks_have_the_same_bits(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0].keys() == QUESTIONS.keys()
    assert all(same(other, ranks[0]) for other in ranks[1:])


def test_ranks_are_added_in_double_whatever_their_layout(ranks: list[dict[str, Any]]) -> None:
    found = ranks[0]["added"]
    assert float(found["tiny"]) == 1 + 2.0**-30  # a float32 would round the other side too
    assert found["kept"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["laid"].tolist() == [[0, 2, 4], [6, 8, 10]]


@pytest.mark.parametrize(("num_data", "size"), [(21, 2), (7, 7), (100, 7), (1, 1), (8, 3)])
def test_every_sample_is_on_one_rank(num_data: int, size: int) -> None:
    rows = [Shard(rank, size).rows(num_data) for rank in range(size)]
    assert [i for part in rows for i in range(num_data)[part]] == list(range(num_data))
    lengths = [part.stop - part.start for part in rows]
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1


def test_a_rank_keeps_its_own_and_counts_all() -> None:
    x, y = data("mse", num_data=N)
    first, second = (point("relu", "mse", "mean", {"batch_size": 100}, Shard(rank, SIZE)) for rank in range(SIZE))
    assert torch.equal(torch.cat([first.x, second.x]), x)
    assert torch.equal(torch.cat([first.y, second.y]), y)
    assert (first.num_local, second.num_local) == (10, 11)
    assert first.num_data == second.num_data == N
    assert first.scale == second.scale == 1 / N
    assert first.batch_size == second.batch_size == 11
    assert [(b.start, len(b.x)) for b in second.own_batches()] == [(10, 11)]
    assert second.x.untyped_storage().nbytes() == 11 * 6 * 8  # not a view of all
    single = second.astype(torch.float32)
    assert (single.shard, single.num_data, single.sample.dtype) == (second.shard, N, torch.float32)
    assert torch.equal(first.sample, x[:4])
    assert torch.equal(second.sample, x[:4])


def test_batches_fit_the_memory_of_the_largest_shard() -> None:
    for memory in (1, 4000, 1 << 20):
        sizes = {
            (at.batch_size, at.columns)
            for at in (point("relu", "mse", "mean", {"memory": memory}, Shard(r, 2)) for r in (0, 1))
        }
        assert len(sizes) == 1


@pytest.mark.parametrize("rank", range(SIZE))
@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("x", torch.nan, f"x holds 1 non-finite value(s) of 66, the first in sample {ODD}; remove them first"),
        (
            "y",
            3,
            "y holds classes 0..3 but the model has 3 outputs; "
            "classes run from 0 to 2 (store y as floats for regression)",
        ),
    ],
)
def test_bad_data_is_refused_by_all_ranks_alike(rank: int, name: str, bad: float, words: str) -> None:
    samples = dict(zip("xy", data("cross_entropy", num_data=N), strict=True))
    samples["y"][10:] %= 2
    samples["y"][10] = 0
    samples[name][(ODD, 2) if name == "x" else ODD] = bad
    with pytest.raises(Misuse, match=f"^{re.escape(words)}$"):
        Problem(network("relu"), (samples["x"], samples["y"]), shard=Shard(rank, SIZE))


def test_fewer_samples_than_ranks() -> None:
    words = re.escape("2 sample(s) cannot be spread over 3 ranks; start at most 2")
    for rank in range(3):
        with pytest.raises(Misuse, match=f"^{words}$"):
            Problem(network("relu"), data("mse", num_data=2), "mse", shard=Shard(rank, 3))


def test_a_rank_that_there_is_not() -> None:
    for rank in (-1, 2):
        with pytest.raises(ValueError, match=f"rank {rank} of 2: ranks count from 0"):
            Shard(rank, 2)


NEEDS_ALL: dict[str, Callable[[Problem], Any]] = {
    "batches": lambda at: next(at.batches()),
    "rows of J": lambda at: JacobianOperator(at) @ at.theta,
    "pairs of samples": lambda at: split_norms(at, structure_of(at)),
    "rows of output probes": lambda at: output_probe_terms(at, structure_of(at), 0, 0),
    "kink margin": lambda at: kink_margin(at, structure_of(at)),
    "touched parameters": lambda at: num_touched(at, structure_of(at)),
}


@each(name=NEEDS_ALL)
def test_what_needs_all_samples_is_refused(name: str) -> None:
    NEEDS_ALL[name](point("relu", "mse", "mean", {}, None))
    with pytest.raises(Misuse, match="this number needs all samples in one place, and they are spread over 2 ranks"):
        NEEDS_ALL[name](point("relu", "mse", "mean", {}, Shard(1, SIZE)))


def test_one_rank_of_one_is_no_group() -> None:
    at, alone = (point("relu", "mse", "mean", {"batch_size": 4}, shard) for shard in (None, Shard(0, 1)))
    assert torch.equal(loss_and_gradient(at)[1], loss_and_gradient(alone)[1])
    preflight(alone)
    total = torch.ones(2)
    assert Shard().add(total) is total


def test_all_ranks_know_the_model_by_the_same_samples() -> None:
    model, (x, y) = network("relu"), data("mse", num_data=N)
    with torch.no_grad():
        model[0].weight *= 100
    x[10:] = 1e308  # outputs overflow on the second rank alone
    for rank in range(SIZE):
        assert structure_of(Problem(model, (x, y), "mse", shard=Shard(rank, SIZE))) is not None
