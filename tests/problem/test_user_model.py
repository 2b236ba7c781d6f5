"""Whatever a model raises ends as one line, and whatever it writes to is a copy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv import Problem, hessian, trace
from scalecurv.errors import LONGEST, CheckpointError, Misuse
from scalecurv.problem.preflight import preflight
from scalecurv.statistics.estimate import Status
from tests.networks import data


class Act(nn.Module):
    def __init__(self, act):  # type: ignore[no-untyped-def]
        super().__init__()
        self.act = act

    def forward(self, h: Tensor) -> Tensor:
        return self.act(h)


def at(act, first=None, num_data: int = 7) -> Problem:  # type: ignore[no-untyped-def]
    model = nn.Sequential(Act(first or (lambda x: x)), nn.Linear(6, 3), Act(act), nn.Linear(3, 3))
    return Problem(model.double().eval(), data("cross_entropy", num_data=num_data))


def late(error: BaseException):  # type: ignore[no-untyped-def]
    """Raises once a sample comes that none of the first is like."""

    def act(h: Tensor) -> Tensor:
        if len(h) > 4:
            raise error
        return torch.tanh(h)

    return act


RAISED = {
    "ValueError": ValueError("odd\nsecond line"),
    "IndexError": IndexError("list index out of range"),
    "KeyError": KeyError("mask"),
    "ZeroDivisionError": ZeroDivisionError("division by zero"),
    "SystemExit": SystemExit("the model ends the program"),
    "AssertionError": AssertionError(),
    "LongError": type("LongError", (Exception,), {})("x" * 10_000),
}


def test_what_rises_late_is_one_line_with_the_module_and_its_own_words() -> None:
    for name, error in RAISED.items():
        with pytest.raises(CheckpointError) as caught:
            trace(at(late(error)))
        line = str(caught.value)
        words = next(iter(str(error).splitlines()), "no message")[:LONGEST]
        asked = "outputs for x of (7, 6) float64"
        assert line.startswith(f"{asked}: module '2' (Act) raised {name}: {words}")
        assert "\n" not in line
        assert len(line) < 2 * LONGEST


def test_what_rises_at_once_says_that_x_does_not_fit() -> None:
    with pytest.raises(Misuse, match=r"^the model does not take x of shape \(7, 6\): mat1 and mat2 shapes"):
        at(torch.tanh, first=lambda x: x[:, :4])


def test_a_product_that_cannot_be_taken_is_one_line() -> None:
    words = r"raised (RuntimeError|NotImplementedError): .*derivative for aten::hardsigmoid_backward is not implemented"
    with pytest.raises(CheckpointError, match=rf"^.*: torch, in a pass through the model, {words}"):
        hessian(at(torch.ops.aten.hardsigmoid))


def test_memory_that_runs_out_says_nothing_of_the_model() -> None:
    for error in (
        MemoryError("no"),
        torch.OutOfMemoryError("no"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(type(error)):
            trace(at(late(error)))


IN_PLACE = {
    "add_": lambda x: x.add_(1),
    "numpy": lambda x: torch.from_numpy(np.add(x.numpy(), 1, out=x.numpy())),
    "data": lambda x: x.data.mul_(2),
    "index": lambda x: x.index_fill_(1, torch.tensor([0]), 0.0),
    "clamp_": lambda x: x.clamp_(0),
}


def test_data_is_never_written_to() -> None:
    for name, act in IN_PLACE.items():
        x, y = data("cross_entropy")
        given, before = torch.as_tensor(x), torch.as_tensor(x).clone()
        model = nn.Sequential(Act(act), nn.Linear(6, 3)).double().eval()
        out_of_place = nn.Sequential(Act(lambda x, act=act: act(x.clone())), model[1]).eval()
        point, expected = Problem(model, (given, y)), Problem(out_of_place, (before.clone(), y))
        preflight(point)
        eye = torch.eye(21)
        assert torch.equal(hessian(point) @ eye, hessian(expected) @ eye), name
        assert torch.equal(given, before), name


def test_buffers_and_parameters_are_the_callers_too() -> None:
    class Counts(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x)

    model = Counts().double().eval()
    trace(Problem(model, data("cross_entropy")))
    assert float(model.calls) == 0

    class Renormed(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.weight.mul_(0.5)
            return super().forward(x)

    model = Renormed(6, 3).double().eval()
    before = model.weight.detach().clone()
    with pytest.raises(Misuse, match=r"^the model writes to its parameters when it is called"):
        Problem(model, data("cross_entropy"))
    assert torch.equal(model.weight, before)


def test_a_parameter_that_theta_does_not_reach_is_refused() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 3)
            self.held = [self.linear.weight]

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.held[0], self.linear.bias)

    with pytest.raises(Misuse, match=r"^forward uses a parameter of shape \(3, 6\) that it holds by another way"):
        Problem(Held().double().eval(), data("cross_entropy"))


def test_narrower_floats_inside_and_at_the_end_widen_what_is_said() -> None:
    """The number is that of the model without the cast, within an interval that says how far it may be off."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for cast in (Tensor.float, Tensor.bfloat16):
            narrow, plain = at(lambda h, cast=cast: cast(torch.tanh(h)).to(h.dtype)), at(torch.tanh)
            plain.theta = narrow.theta.clone()
            found, truth = trace(narrow), trace(plain)
            assert truth.status is Status.EXACT
            assert found.lower < truth.value < found.upper
            assert found.status is not Status.EXACT
            ended = Problem(nn.Sequential(nn.Linear(6, 3), Act(cast)).double().eval(), data("cross_entropy"))
            assert ended.outputs(ended.theta, ended.x).dtype is torch.float64


def test_a_loss_may_write_to_what_it_is_given() -> None:
    def loss(f: Tensor, y: Tensor) -> Tensor:
        return f.sub_(y.mul_(0.5)[:, None]).square().sum(1)

    x, y = data("mse")
    target = torch.as_tensor(y)[:, 0].clone()
    found = Problem(nn.Linear(6, 1).double(), (x, target.clone()), loss)
    plain = Problem(found.model, (x, target), lambda f, y: (f - 0.5 * y[:, None]).square().sum(1))
    assert torch.equal(hessian(found) @ torch.eye(7), hessian(plain) @ torch.eye(7))
