"""Samples that do not fit into memory: they are read again for each product, never held, and give the same numbers."""

import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.shard import Shard
from scalecurv.samples.rows import Held
from scalecurv.samples.streamed import Streamed
from tests.loops import each
from tests.networks import data, network

N = 37
SMALL = 1000  # bytes: less than the samples take


def loader(loss: str, size: int = 5) -> DataLoader:
    return DataLoader(TensorDataset(*data(loss, num_data=N)), size)


def pair_of_points(name: str, loss: str, size: int = 5, **options) -> tuple[sc.Problem, sc.Problem]:  # type: ignore[no-untyped-def]
    """Return the problem of a loader that does not fit, and that of the same arrays."""
    options = {"memory": SMALL, **options}
    streamed = sc.Problem(network(name), loader(loss, size), loss, **options)
    held = sc.Problem(network(name), data(loss, num_data=N), loss, **options)
    assert isinstance(streamed.rows, Streamed)
    assert isinstance(held.rows, Held)
    return streamed, held


CASES = [
    ("relu", "mse", 5, "mean"),
    ("tanh", "cross_entropy", 1, "sum"),
    ("conv", "cross_entropy", 37, "mean"),
    ("batch norm", "mse", 8, "mean"),
]


@each(("name", "loss", "size", "reduction"), CASES)
def test_products_are_those_of_the_same_arrays_to_the_last_bit(name: str, loss: str, size: int, reduction: str) -> None:
    streamed, held = pair_of_points(name, loss, size, reduction=reduction, batch_size=8, dtype=torch.float64)
    assert [len(batch.x) for batch in streamed.batches()] == [8, 8, 8, 8, 5]
    V = torch.randn(held.num_params, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for operator in (HessianOperator, GaussNewtonOperator, JacobianOperator):
        assert torch.equal(operator(streamed).matmat(V), operator(held).matmat(V))
    assert torch.equal(loss_and_gradient(streamed)[1], loss_and_gradient(held)[1])
    single, double = (point.astype(torch.float32).astype(torch.float64) for point in (streamed, held))
    assert torch.equal(loss_and_gradient(single)[1], loss_and_gradient(double)[1])


def test_samples_are_taken_by_number() -> None:
    streamed, held = pair_of_points("relu", "cross_entropy")
    for rows in ([3], [36, 0, 36, 5, 4], list(range(N))):
        some, wanted = (point.rows.take(torch.tensor(rows)) for point in (streamed, held))
        assert torch.equal(some.x, wanted.x)
        assert torch.equal(some.y, wanted.y)
    few = streamed.of_some(torch.arange(4))
    assert torch.equal(few.x, held.x[:4])


MEASURES: dict[str, Callable[[sc.Problem], object]] = {
    "trace": sc.trace,
    "trace_h2": sc.trace_h2,
    "lambda_max": sc.lambda_max,
    "lambda_min": sc.lambda_min,
    "scalar_curvature": sc.scalar_curvature,
    "functional_rank": sc.functional_rank,
    "rank_report": sc.rank_report,
    "eigenpairs": lambda problem: sc.eigenpairs(problem, 2),
    "spectrum": sc.spectrum,
    "principal": sc.principal_curvatures,
    "gauss_newton": lambda problem: sc.gauss_newton(problem) @ np.ones(problem.num_params),
    "analyze": sc.analyze,
}


def test_every_measure_is_that_of_the_same_arrays() -> None:
    streamed, held = pair_of_points("relu", "cross_entropy", batch_size=16)
    for what, measure in MEASURES.items():
        found, wanted = repr(measure(streamed)), repr(measure(held))
        assert found == wanted, what


@each(size=[2, 3], of_items=[False, True])
def test_each_rank_has_its_own_rows(size: int, of_items: bool) -> None:
    x, y = data("mse", num_data=N)
    source = TensorDataset(x, y) if of_items else loader("mse")
    for memory in (SMALL // 2, 10**6):
        ranks = [sc.Problem(network("relu"), source, "mse", memory=memory, shard=Shard(r, size)) for r in range(size)]
        whole = [sc.Problem(network("relu"), (x, y), "mse", memory=memory, shard=Shard(r, size)) for r in range(size)]
        assert {type(point.rows) for point in ranks} == {Streamed if memory < SMALL else Held}
        for point, wanted in zip(ranks, whole, strict=True):
            assert point.rows.start == wanted.rows.start
            assert torch.equal(torch.cat([batch.x for batch in point.own_batches()]), wanted.x)
            assert [b.start for b in point.own_batches()] == [b.start for b in wanted.own_batches()]
            assert (point.num_data, point.weight) == (N, N)
            assert torch.equal(point.sample, wanted.sample)


class Alive:
    """A data set of batches that are made when they are read, and that counts those whose memory is still taken."""

    def __init__(self, batches: int, rows: int, width: int):
        self.batches, self.rows, self.width, self.now, self.most = batches, rows, width, 0, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for i in range(self.batches):
            array = np.random.default_rng(i).standard_normal((self.rows, self.width))
            weakref.finalize(array, self.forget)
            self.now += 1
            self.most = max(self.most, self.now)
            x = torch.from_numpy(array)
            del array
            yield x, torch.arange(self.rows) % 2
            del x

    def forget(self) -> None:
        self.now -= 1


def test_a_data_set_far_larger_than_the_memory_is_never_held() -> None:
    alive = Alive(60, 32, 50)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 2), nn.Tanh()).double()
    problem = sc.Problem(model, alive, memory=100_000)  # of 768,000 bytes
    v = np.ones(problem.num_params)
    product = sc.hessian(problem) @ v
    gc.collect()
    assert alive.now == 0
    assert alive.most <= 3
    x, y = (torch.cat(column) for column in zip(*alive, strict=True))
    np.testing.assert_allclose(product, sc.hessian(sc.Problem(model, (x, y))) @ v, rtol=1e-12, atol=1e-14)


def test_samples_that_fit_are_held_once() -> None:
    """Each batch is given back as soon as it is copied, and nothing of the source is held after that."""
    alive = Alive(60, 32, 50)
    problem = sc.Problem(nn.Linear(50, 2).double(), alive)
    gc.collect()
    assert isinstance(problem.rows, Held)
    assert alive.now == 0
    assert alive.most <= 3
    assert problem.x.untyped_storage().nbytes() == 60 * 32 * 50 * 8


class Generated(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        rng = torch.Generator().manual_seed(0)
        for i in range(50):
            yield torch.randn(6, generator=rng, dtype=torch.float64), i % 3


def test_a_loader_of_a_generated_data_set_is_read_again() -> None:
    problem = sc.Problem(network("relu"), DataLoader(Generated(), 7), memory=SMALL)
    assert isinstance(problem.rows, Streamed)
    x, y = zip(*Generated(), strict=True)
    wanted = sc.Problem(network("relu"), (torch.stack(x), torch.tensor(y)), memory=SMALL)
    assert repr(sc.trace(problem)) == repr(sc.trace(wanted))


def change_a_number(batches: list) -> None:
    batches[2][0][1, 0] += 1e-9


@each(change=[change_a_number, list.reverse, list.pop, lambda batches: batches.append(batches[0])])
def test_samples_that_change_between_products_are_refused(change: Callable[[list], object]) -> None:
    x, y = data("mse", num_data=N)
    batches = [(x[i : i + 5].clone(), y[i : i + 5]) for i in range(0, N, 5)]
    problem = sc.Problem(network("relu"), batches, "mse", memory=SMALL)
    change(batches)
    with pytest.raises(Misuse, match=r"^batch \d of the list of 8 is not what it was when it was read first: every"):
        loss_and_gradient(problem)


def test_all_samples_at_once_are_refused_with_advice_that_works() -> None:
    streamed, held = pair_of_points("relu", "mse")
    with pytest.raises(Misuse, match=r"^this needs all 37 samples at once, .* give memory=2664 or more$"):
        streamed.x  # noqa: B018
    assert torch.equal(sc.Problem(network("relu"), loader("mse"), "mse", memory=2664).x, held.x)


def test_what_can_be_read_only_once_is_held_or_refused() -> None:
    x, y = data("mse", num_data=N)
    problem = sc.Problem(network("relu"), (pair for pair in [(x[:9], y[:9]), (x[9:], y[9:])]), "mse")
    assert torch.equal(problem.x, x)
    with pytest.raises(
        Misuse, match=r"^the generator can be read only once, and its samples take more than memory=1,0"
    ):
        sc.Problem(network("relu"), (pair for pair in [(x[:9], y[:9]), (x[9:], y[9:])]), "mse", memory=SMALL)


def test_a_source_that_uses_one_buffer_for_all_batches() -> None:
    x, y = data("mse", num_data=N)

    class Buffer:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            buffer = torch.empty(5, *x.shape[1:], dtype=x.dtype)
            for i in range(0, 35, 5):
                buffer.copy_(x[i : i + 5])
                yield buffer, y[i : i + 5]

    wanted = loss_and_gradient(sc.Problem(network("relu"), (x[:35], y[:35]), "mse", batch_size=8))[1]
    for memory in (SMALL, 10**7):
        found = sc.Problem(network("relu"), Buffer(), "mse", batch_size=8, memory=memory)
        assert torch.equal(loss_and_gradient(found)[1], wanted)
