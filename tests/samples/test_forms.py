"""Samples in every form that people hold give the numbers of the arrays, to the last bit, and are never confused."""

from collections import UserDict, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, StackDataset, TensorDataset

from scalecurv import Problem
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.samples.forms import opened
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream
from tests.dense import dense
from tests.loops import each

LOSSES = ["mse", "cross_entropy"]


class Items(Dataset):
    """Samples with a number as the target of each."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Any]:
        return self.x[i], self.y[i]


class Run(IterableDataset, Items):
    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        yield from zip(self.x, self.y, strict=True)


def split(x: Any, y: Any, *ends: int) -> list[tuple[Any, Any]]:
    """Return batches that end before these samples."""
    starts = (0, *ends)
    return [(x[i:j], y[i:j]) for i, j in zip(starts, (*ends, len(x)), strict=True)]


Batch = namedtuple("Batch", "x y")
Named = namedtuple("Named", "target features")
FORMS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "arrays": lambda x, y: (x.numpy(), y.numpy()),
    "list of x and y": lambda x, y: [x, y],
    "lists of numbers": lambda x, y: (x.tolist(), y.tolist()),
    "named tuple": lambda x, y: Batch(x, y),
    "named tuple in another order": lambda x, y: Named(y, x),
    "dict": lambda x, y: {"x": x, "y": y},
    "dict of other names": lambda x, y: UserDict(targets=y, inputs=x),
    "tensor data set": TensorDataset,
    "data set": Items,
    "iterable data set": Run,
    "data set of dicts": lambda x, y: StackDataset(labels=y, X=x),
    "loader": lambda x, y: DataLoader(TensorDataset(x, y), 3),
    "loader of single samples": lambda x, y: DataLoader(TensorDataset(x, y)),
    "loader without batches": lambda x, y: DataLoader(split(x, y, len(x) // 2), batch_size=None),
    "loader of an iterable": lambda x, y: DataLoader(Run(x, y), 2),
    "loader of dicts": lambda x, y: DataLoader(StackDataset(labels=y, x=x), 3),
    "two batches": lambda x, y: split(x, y, len(x) // 2),
    "two batches of lists": lambda x, y: [[a, b] for a, b in split(x, y, len(x) // 2)],
    "one batch": lambda x, y: [(x, y)],
    "tuple of one batch": lambda x, y: ((x, y),),
    "batches of one sample": lambda x, y: split(x, y, *range(1, len(x))),
    "batches of arrays": lambda x, y: split(x.numpy(), y.numpy(), 1),
    "batches that are dicts": lambda x, y: [{"x": a, "y": b} for a, b in split(x, y, 1)],
    "generator": lambda x, y: (pair for pair in split(x, y, 1)),
}


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4)).double()


def drawn(n: int, loss: str) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(n)
    x = torch.randn(n, 4, dtype=torch.float64, generator=rng)
    y = torch.randn(n, 4, dtype=torch.float64, generator=rng)
    return x, y if loss == "mse" else torch.randint(0, 4, (n,), generator=rng)


@each(n=[2, 3, 4, 8], loss=LOSSES)
def test_every_form_is_the_arrays(n: int, loss: str) -> None:
    x, y = drawn(n, loss)
    wanted = Problem(model(), (x, y), loss)
    truth = dense(model(), x, y, loss)
    H = HessianOperator(wanted).matmat(torch.eye(wanted.num_params, dtype=torch.float64))
    torch.testing.assert_close(H, truth.hessian, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(loss_and_gradient(wanted)[1], truth.gradient, rtol=1e-12, atol=1e-14)
    for name, form in FORMS.items():
        found = Problem(model(), form(x, y), loss)
        assert torch.equal(found.x, wanted.x), name
        assert torch.equal(found.y, wanted.y), name
        assert torch.equal(loss_and_gradient(found)[1], loss_and_gradient(wanted)[1]), name


def test_samples_with_a_number_as_target_are_told_from_batches() -> None:
    x, y = drawn(4, "cross_entropy")
    for items in (
        [(a, int(b)) for a, b in zip(x, y, strict=True)],
        list(zip(x, y, strict=True)),
        zip(x, y, strict=True),
    ):
        found = Problem(model(), items)
        assert torch.equal(found.x, x)
        assert torch.equal(found.y, y)
    for items in ([([1.0, 2.0], 0), ([3.0, 4.0], 1)], (([1.0, 2.0], 0), ([3.0, 4.0], 1))):
        (pair,) = opened(items).read()
        assert pair.x.tolist() == [[1.0, 2.0], [3.0, 4.0]]


X, F, C = torch.zeros(4, 3), torch.ones(4, 2), torch.arange(4)
STRUCTURES: dict[str, tuple[Any, int | tuple[int, int]]] = {
    "(x, y)": ((X, C), (1, 1)),
    "((x1, x2), y)": (((X, X), C), (2, 1)),
    "((x1, x2), y), two samples": (((X[:2], X[:2]), C[:2]), (2, 1)),
    "((x1, x2), y) of lists": ([[X, F], C], (2, 1)),
    "(x, (y1, y2))": ((X, (C, C)), (1, 2)),
    "((x1, x2, x3), (y1, y2))": (((X, F, X), (C, C)), (3, 2)),
    "((x1, x2), (y1, y2)) of rows that differ": (((X, F), (C, C)), (2, 2)),
    "({}, y)": (({"a": X, "b": F}, C), (2, 1)),
    "({}, {})": (({"a": X, "b": F}, {"c": C, "d": F}), (2, 2)),
    "({}, {'labels': y})": (({"a": X, "b": F}, {"labels": C}), (1 + 1, 1)),
    "({'labels': x}, y): forward takes labels": (({"a": X, "labels": C}, C), (2, 1)),
    "(x, table)": ((X, [[0, 1]] * 4), (1, 1)),
    "table and table": (([[0, 1]] * 2, [[0, 1]] * 2), (1, 1)),
    "[(x1, y1), (x2, y2)]": ([(X, C), (X, C)], 2),
    "[[x1, y1], [x2, y2]]": ([[X, C], [X, C]], 2),
    "[(x1, y1), (x2, y2)] of two samples": ([(X[:2], C[:2]), (X[:2], C[:2])], 2),
    "((x1, y1), (x2, y2)) of sizes that differ": (((X, C), (X[:3], C[:3])), 2),
    "[((a, b), y)] * 2": ([((X, F), C)] * 2, 2),
    "[(x, y)] * 3": ([(X, C)] * 3, 3),
    "[{}, {}]": ([{"a": X, "label": C}] * 2, 2),
    "({}, {}) with targets in both": (({"a": X, "label": C}, {"a": X, "label": C}), 2),
}


def test_structure_tells_pairs_from_batches() -> None:
    for name, (data, wanted) in STRUCTURES.items():
        found = opened(data)
        if isinstance(found, Stream):
            assert len(list(found.read())) == wanted, name
        else:
            assert (width(found.x), width(found.y)) == wanted, name


def width(part: Any) -> int:
    return len(part.leaves) if hasattr(part, "leaves") else 1


def test_nothing_is_read_or_copied_before_it_is_needed() -> None:
    x = np.zeros((3, 2))
    pair = opened((x, [0, 1, 2]))
    assert isinstance(pair, Pair)
    assert pair.x is x
    assert isinstance(opened(Items(X, C)), Stream)


def test_whole_numbers_and_masks() -> None:
    (pair,) = opened([({"ids": C.int(), "mask": C > 1, "none": None}, C.bool())]).read()
    assert pair.x.tree["ids"].dtype == torch.int64
    assert pair.x.tree["mask"].dtype == torch.bool
    assert pair.x.tree["none"] is None
    assert pair.y.tolist() == [0, 1, 1, 1]
