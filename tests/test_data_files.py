"""Data in files of every kind, each analysed by the command, with the values that plain autograd gives."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.results.query import open_store
from tests.commands import analyze
from tests.data_files import FILES, DataFile


def trace_of(held: DataFile, model: torch.nn.Module) -> tuple[float, float]:
    """Return loss and trace of the Hessian, by plain autograd."""
    parameters, loss = list(model.parameters()), held.loss(model)
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    trace = 0.0
    for g, p in zip(gradient, parameters, strict=True):
        for i, entry in enumerate(g.flatten()):
            (h,) = torch.autograd.grad(entry, p, retain_graph=True, materialize_grads=True)
            trace += h.flatten()[i].item()
    return loss.item(), trace


class Written:
    """A form of data in a folder of its own, with a checkpoint of its model, which a factory makes."""

    def __init__(self, folder: Path, held: DataFile, monkeypatch: pytest.MonkeyPatch):
        module = ModuleType("files_here")
        module.model = held.model  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "files_here", module)
        (folder / "data").mkdir(parents=True)
        torch.manual_seed(0)
        model = held.model().double()
        torch.save(model.state_dict(), folder / "step_1.pt")
        self.checkpoint, self.data = folder / "step_1.pt", held.write(folder / "data")
        self.split = held.options[1] if held.options else None
        self.loss, self.trace = trace_of(held, model)


def test_every_kind_of_file_makes_the_models_own_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, (name, held) in enumerate(FILES.items()):
        here = Written(tmp_path / str(i), held, monkeypatch)
        spec = ProblemSpec(here.data, "cross_entropy", "mean", "files_here:model", split=here.split)
        problem, architecture = Task.read(spec).at(load(here.checkpoint), Arithmetic())
        assert loss_and_gradient(problem)[0] == pytest.approx(here.loss, rel=1e-12), name
        H = HessianOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64))
        assert float(H.trace()) == pytest.approx(here.trace, rel=1e-9), name
        assert json.loads(architecture).get("output", "") == held.output, name


@pytest.mark.parametrize("name", list(FILES)[::5])
def test_the_command_reads_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = FILES[name]
    here = Written(tmp_path / "run", held, monkeypatch)
    words = ("--data", here.data, *held.options, "--loss", "cross_entropy", "--model", "files_here:model")
    said = analyze(here.checkpoint, tmp_path / "store", *words, "--measure", "loss,trace")
    assert said.exit_code == 0, said.output
    (found,) = open_store(tmp_path / "store").sql("select loss, trace from results").itertuples(index=False)
    assert found.loss == pytest.approx(here.loss, rel=1e-12)
    assert found.trace == pytest.approx(here.trace, rel=1e-9)
