"""Preflight: its cost, the state that it restores, and its callers."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import scalecurv as sc
from scalecurv.analysis import Identity, Request, records_of
from scalecurv.errors import Misuse
from scalecurv.measures import Gradient, Rank
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem import preflight as under_test
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.record import Stored
from tests.acting import at, consistently_shuffled, drawn_in_vain


def random_state() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), name, keys.tolist(), rest


def test_no_random_state_is_moved() -> None:
    point = at(lambda h: drawn_in_vain(consistently_shuffled(h)))
    before = random_state()
    preflight(point)
    assert random_state() == before


def test_a_refusal_moves_no_random_state_either() -> None:
    point = at(lambda h: h * random.random() * np.random.rand() * torch.rand(()))  # noqa: NPY002
    before = random_state()
    with pytest.raises(Misuse, match=r"draws at random inside"):
        preflight(point)
    assert random_state() == before


def passes_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that are put through a model from here on."""
    sizes: list[int] = []
    outputs = Problem.outputs

    def counted(self: Problem, theta: Tensor, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return outputs(self, theta, x)

    monkeypatch.setattr(Problem, "outputs", counted)
    return sizes


def test_a_few_passes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    point = at(torch.tanh, 30, batch_size=10)
    sizes = passes_of(monkeypatch)
    preflight(point)
    assert sizes == [10, 10, 8, 8, *[1] * 8, 8]  # the last looks for a cut graph
    preflight(point)
    assert len(sizes) == 13


@pytest.mark.parametrize(
    "ask", [sc.trace, sc.scalar_curvature, sc.lambda_max, sc.functional_rank, sc.hessian], ids=lambda f: f.__name__
)
def test_a_notebook_asks_once(ask: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misuse, match=r"^the model's outputs change by"):
        ask(at(lambda h: h + torch.randn_like(h)))
    point = at(torch.tanh)
    done: list[Problem] = []
    monkeypatch.setattr(under_test, "_refuse_draws", lambda point, *tensors: done.append(point))
    ask(point)
    ask(point)
    assert done == [point]


def test_an_analysis_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(self: HessianOperator, V: Tensor) -> Tensor:
        raise AssertionError("a product was taken")

    monkeypatch.setattr(HessianOperator, "_matmat", bug)
    identity, request = Identity("fingerprint", "task", "float64"), Request((Rank(), Gradient()))
    with pytest.raises(Misuse, match=r"^the outputs of 7 samples change by"):
        records_of(at(lambda h: h - h.mean(0)), request, identity)
    assert records_of(
        at(lambda h: h - h.mean(0)), request, identity, known=dict.fromkeys(request.keys(identity), Stored(width=0.0))
    ) == ((), 0)
