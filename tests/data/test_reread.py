"""Loaders that do not fit into memory: they are read anew, and are the same data as if they were held."""

import itertools
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from scalecurv.data import reread, survey
from scalecurv.data.held import Data
from scalecurv.data.load import load_data
from scalecurv.data.reread import Reread
from scalecurv.errors import Misuse
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.samples.streamed import Streamed

SMALL = 500  # bytes; the samples take more


class Made(IterableDataset[Any]):
    """Samples made from their numbers, of `kind`; how often they were read is counted."""

    def __init__(self, kind: str = "vectors", count: int = 90) -> None:
        self.kind, self.count, self.passes = kind, count, 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        for i in range(self.count):
            x = torch.arange(3) + i
            inputs = {"vectors": torch.sin(x), "bytes": x.byte(), "several": {"a": torch.sin(x), "b": x[:1]}}
            yield inputs[self.kind], i % 4


@pytest.fixture(name="named")
def _named(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    def name(function: Callable[..., Any]) -> str:
        module = ModuleType("users_loader")
        module.make = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "users_loader", module)
        return "users_loader:make"

    return name


def test_what_is_read_anew_is_the_data_that_would_be_held(named: Any) -> None:
    for kind in ("vectors", "bytes", "several"):
        name = named(lambda kind=kind: DataLoader(Made(kind), batch_size=7))
        held, anew = load_data(name), load_data(name, memory=SMALL)
        assert isinstance(held, Data)
        assert isinstance(anew, Reread)
        assert (anew.fingerprint, len(anew), anew.available, anew.width) == (held.fingerprint, 90, 90, held.width)


def test_samples_that_are_drawn_are_held(named: Any) -> None:
    name = named(lambda: DataLoader(Made("several"), batch_size=7))
    held, few = load_data(name, None, 9, seed=3), load_data(name, None, 9, seed=3, memory=SMALL)
    assert (len(few), few.available, few.fingerprint) == (9, 90, held.fingerprint)


def test_products_are_those_of_the_held_samples(named: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4)).double()
    for kind in ("vectors", "bytes"):
        name = named(lambda kind=kind: DataLoader(Made(kind), batch_size=7))
        held, anew = load_data(name), load_data(name, memory=SMALL)
        one, other = Problem(model, held.quantities()), Problem(model, anew.quantities(), memory=SMALL)
        assert isinstance(other.rows, Streamed)
        v = torch.randn(one.num_params, 2, dtype=torch.float64)
        torch.testing.assert_close(
            HessianOperator(other).matmat(v), HessianOperator(one).matmat(v), rtol=1e-12, atol=1e-14
        )


def test_another_process_opens_the_code_once_and_checks_it(named: Any) -> None:
    made: list[Made] = []

    def make() -> Any:
        made.append(Made())
        return DataLoader(made[-1], batch_size=7)

    anew = pickle.loads(pickle.dumps(load_data(named(make), memory=SMALL)))
    anew.samples()
    assert len(made) == 1  # here it is open already
    reread._opened.clear()
    first = anew.samples()
    assert anew.samples() is first
    assert len(made) == 2


@pytest.mark.parametrize("other", [Made(count=91), Made("bytes"), Made("several"), (torch.ones(90, 3), torch.ones(90))])
def test_code_that_makes_other_samples_later_is_refused(named: Any, other: Any) -> None:
    anew = load_data(named(lambda: DataLoader(Made(), batch_size=7)), memory=SMALL)
    reread._opened.clear()
    named(lambda: DataLoader(other, batch_size=7) if isinstance(other, Made) else other)
    with pytest.raises(Misuse) as caught:
        anew.samples()
    assert str(caught.value) == (
        "--data users_loader:make makes other samples than it did before the first checkpoint; it must make the same "
        "in every process, in the same order"
    )


def test_a_generator_must_fit(named: Any) -> None:
    with pytest.raises(Misuse) as caught:
        load_data(named(lambda: iter(Made())), memory=SMALL)
    assert str(caught.value) == (
        "--data users_loader:make: the generator can be read only once and takes more than --memory, 500 bytes, in its "
        "first 90 samples; return a DataLoader or a Dataset, which can be read again, or less of it, as by "
        "itertools.islice"
    )
    assert len(load_data(named(lambda: iter(Made())))) == 90
    endless = named(lambda: ((torch.zeros(1, 1), torch.zeros(1)) for _ in itertools.count()))
    with pytest.raises(Misuse, match=r"more than --memory, 500000 bytes, in its first \d{3} samples; return a"):
        load_data(endless, memory=500_000)  # what each array takes beside its numbers counts


def test_reading_that_does_not_end_is_said(
    named: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(survey, "LONG", -1.0)
    load_data(named(lambda: DataLoader(Made(), batch_size=45)), memory=SMALL)
    assert "--data users_loader:make: 90 samples read so far; Ctrl-C where they have no end" in caplog.messages


def test_a_loader_is_never_held_whole(named: Any) -> None:
    """No more than a few batches are alive at any time, counted by their tensors."""
    alive, most = list[int](), 0

    class Counted(Made):
        def __iter__(self) -> Iterator[Any]:
            for i in range(200):
                batch = torch.zeros(50, 3) + i
                alive.append(i)
                nonlocal most
                most = max(most, len(alive))
                weakref.finalize(batch, alive.pop)
                yield batch, torch.zeros(50)

    anew = load_data(named(lambda: DataLoader(Counted(), batch_size=None)), memory=SMALL)
    assert isinstance(anew, Reread)
    assert len(anew) == 10_000
    assert 0 < most < 8


def test_a_loader_that_uses_its_memory_again_is_copied(named: Any) -> None:
    class Same(Made):
        def __iter__(self) -> Iterator[Any]:
            x = torch.zeros(9, 3)
            for i in range(10):
                yield x.fill_(i), torch.zeros(9)

    for wanted in (None, 30):
        data = load_data(named(lambda: DataLoader(Same(), batch_size=None)), None, wanted)
        assert set(data.x[:, 0]) == set(range(10))


def test_samples_that_are_not_finite_are_found_in_the_first_pass(named: Any) -> None:
    x = torch.ones(90, 3)
    x[80, 1] = float("nan")
    batches = [(x[i : i + 9], torch.ones(9)) for i in range(0, 90, 9)]
    with pytest.raises(Misuse, match=r"^--data users_loader:make: x holds 1 NaN or infinite value\(s\); remove "):
        load_data(named(lambda: batches), memory=SMALL)
