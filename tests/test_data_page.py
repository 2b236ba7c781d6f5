"""docs/data.md: each form of data in a notebook and from a factory for --data, with its right value or its refusal."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalecurv import Misuse, Problem, hessian
from scalecurv.checkpoints.load import Checkpoint, load
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.problem.risk import loss_and_gradient
from tests.held_data import OUTPUTS, REFUSED, SAMPLES, HeldData
from tests.pages import check_table, code, row

HELD = row("what you have", "`sc.Problem(model, data)`", "`--data pkg.mod:factory`")
RETURNED = row("what the model returns", "outputs")
LINES = row("what comes", "the line")
TAKEN = "taken"


def truth(held: HeldData, model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return gradient and Hessian in the parameters, by plain autograd."""
    parameters = list(model.parameters())
    entries = torch.autograd.grad(held.loss(model), parameters, create_graph=True, materialize_grads=True)
    g = torch.cat([entry.flatten() for entry in entries])
    rows = (torch.autograd.grad(one, parameters, retain_graph=True, materialize_grads=True) for one in g)
    return g.detach(), torch.stack([torch.cat([h.flatten() for h in row]) for row in rows])


def model_of(held: HeldData) -> nn.Module:
    torch.manual_seed(0)
    return held.model().double()


def check(problem: Problem, H: Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(hessian(problem).to_dense()), H, rtol=1e-10, atol=1e-12)


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[HeldData], Problem]:
    """The problem that the command makes of a factory of data, a factory of models and a file of weights."""
    module = ModuleType("held_here")
    monkeypatch.setitem(sys.modules, "held_here", module)

    def problem(held: HeldData) -> Problem:
        module.data, module.model = held.data, lambda: held.model().double()  # type: ignore[attr-defined]
        torch.save(model_of(held).state_dict(), tmp_path / "step_1.pt")
        checkpoint: Checkpoint = load(tmp_path / "step_1.pt")
        spec = ProblemSpec("held_here:data", "cross_entropy", "mean", "held_here:model", None)
        return Task.read(spec).at(checkpoint, Arithmetic())[0]

    return problem


def test_the_table_of_forms(factory: Callable[[HeldData], Problem]) -> None:
    rows = []
    for name, held in SAMPLES.items():
        model = model_of(held)
        g, H = truth(held, model)
        check(Problem(model, held.data()), H)
        torch.testing.assert_close(loss_and_gradient(factory(held))[1], g, rtol=1e-10, atol=1e-12)
        rows.append(row(name, TAKEN, TAKEN))
    check_table("data.md", HELD, rows)


def test_the_table_of_outputs() -> None:
    rows = []
    for name, held in OUTPUTS.items():
        model = model_of(held)
        problem = Problem(model, held.data())
        check(problem, truth(held, model)[1])
        rows.append(row(name, f"`{problem.output}`"))
    check_table("data.md", RETURNED, rows)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(Misuse) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_table_of_refusals(factory: Callable[[HeldData], Problem]) -> None:
    """The command says the same, with the name of the option before it."""
    rows = []
    for name, data in REFUSED.items():
        message = refusal(lambda data=data: Problem(model_of(HeldData(data)), data()))
        assert "--data held_here:data" in refusal(lambda data=data: factory(HeldData(data)))
        rows.append(row(name, code(message)))
    check_table("data.md", LINES, rows)
