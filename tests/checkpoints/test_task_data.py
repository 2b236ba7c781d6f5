"""Tasks whose data are one column, several arrays, or batches that do not fit into memory: the Problem they make."""

import json
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.data import reread
from scalecurv.data.reread import Reread
from scalecurv.errors import Misuse
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.shard import Shard
from scalecurv.results.query import open_store
from scalecurv.samples.streamed import Streamed
from tests.commands import analyze

X, Y = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
SMALL = 900  # bytes


class Two(nn.Module):
    """Two inputs to the second place of what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, a: Tensor, b: Tensor) -> Any:
        return {"number": b, "logits": self.head(torch.tanh(a) * b[:, None])}


@pytest.fixture(name="code")
def _code(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("task_code")
    module.two = Two  # type: ignore[attr-defined]
    module.loader = lambda: DataLoader(TensorDataset(X, Y), 7)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "task_code", module)
    return module


def mlp(folder: Path, inputs: int = 4) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    torch.save(model.state_dict(), folder / "step_1.pt")
    return model, load(folder / "step_1.pt")


def spec(data: Any, model: str = "mlp") -> ProblemSpec:
    return ProblemSpec(data, "cross_entropy", "mean", model, "tanh" if model == "mlp" else None)


def same(one: Problem, other: Problem) -> None:
    v = torch.randn(one.num_params, 2, dtype=torch.float64)
    torch.testing.assert_close(loss_and_gradient(one), loss_and_gradient(other), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(HessianOperator(one).matmat(v), HessianOperator(other).matmat(v), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [np.float64, np.int16])
def test_single_numbers_are_one_input_of_an_mlp(tmp_path: Path, kind: type) -> None:
    x = (np.arange(60) - 30).astype(kind)
    np.savez(tmp_path / "d.npz", x=x, y=Y.numpy())
    model, checkpoint = mlp(tmp_path, 1)
    problem, _ = Task.read(spec(tmp_path / "d.npz")).at(checkpoint, Arithmetic())
    same(problem, Problem(model, (x[:, None].astype(float), Y), "cross_entropy"))


def test_several_inputs_are_handed_over_by_name_and_cut_by_rank(tmp_path: Path, code: ModuleType) -> None:
    b = torch.linspace(1, 2, 60)
    torch.save({"x": {"b": b, "a": X}, "y": Y}, tmp_path / "d.pt")
    model = Two().double()
    torch.save(model.state_dict(), tmp_path / "step_1.pt")
    checkpoint = load(tmp_path / "step_1.pt")
    task = Task.read(spec(tmp_path / "d.pt", "task_code:two"))
    buffers: list[pickle.PickleBuffer] = []
    shipped = pickle.dumps(task, 5, buffer_callback=buffers.append)
    assert len(buffers) == 3  # each array by reference, as workers share them
    assert pickle.loads(shipped, buffers=buffers).id == task.id
    problem, architecture = task.at(checkpoint, Arithmetic())
    same(problem, Problem(model, ({"a": X, "b": b}, Y)))
    assert json.loads(architecture)["output"] == ".logits"
    parts = [task.at(checkpoint, Arithmetic(), Shard(rank, 2))[0] for rank in range(2)]
    assert [len(part.rows) for part in parts] == [30, 30]
    assert torch.equal(torch.cat([part.x.tree["a"] for part in parts]), problem.x.tree["a"])
    assert task.describe(3)["num_data"] == 60


def test_an_mlp_told_by_its_tensors_takes_one_array(tmp_path: Path) -> None:
    torch.save(((X, X), Y), tmp_path / "d.pt")
    with pytest.raises(Misuse) as caught:
        Task.read(spec(tmp_path / "d.pt")).at(mlp(tmp_path)[1], Arithmetic())
    assert str(caught.value) == (
        f"--data {tmp_path / 'd.pt'} has inputs of several parts, and an MLP that is told by its tensors takes one "
        f"array; give --model pkg.mod:factory"
    )


@pytest.mark.parametrize("kind", ["floats", "whole numbers"])
def test_batches_that_do_not_fit_make_the_same_task(tmp_path: Path, code: ModuleType, kind: str) -> None:
    x = X if kind == "floats" else (X * 10).int()
    code.loader = lambda: DataLoader(TensorDataset(x, Y), 7)  # type: ignore[attr-defined]
    held, anew = (Task.read(spec("task_code:loader"), memory=memory) for memory in (1 << 20, SMALL))
    assert isinstance(anew.data, Reread)
    assert anew.id == held.id
    assert anew.describe(3) == held.describe(3)
    checkpoint = mlp(tmp_path)[1]
    problem = anew.at(checkpoint, Arithmetic(memory=SMALL))[0]
    assert isinstance(problem.rows, Streamed)
    same(held.at(checkpoint, Arithmetic())[0], problem)


def test_the_command_reads_them_anew(tmp_path: Path, code: ModuleType) -> None:
    mlp(tmp_path)
    x, y = X.repeat(60, 1), Y.repeat(60)
    batches: list[int] = []

    class Counted(DataLoader[Any]):
        def __iter__(self) -> Any:
            batches.append(1)
            return super().__iter__()

    code.loader = lambda: Counted(TensorDataset(x, y), 900)  # type: ignore[attr-defined]
    words = ("--data", "task_code:loader", "--loss", "cross_entropy", "--activation", "tanh", "--measure", "loss")
    losses, passes = [], []
    for store, memory in (("held", 1_000_000), ("anew", 80_000)):
        batches.clear()
        said = analyze(tmp_path / "step_1.pt", tmp_path / store, *words, "--memory", memory)
        assert said.exit_code == 0, said.output
        passes.append(len(batches))
        losses.append(open_store(tmp_path / store).sql("select loss from results")["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert passes[0] < 5 < passes[1]
    again = analyze(tmp_path / "step_1.pt", tmp_path / "held", *words, "--memory", 80_000)
    assert again.output.startswith("everything is already there: 1 checkpoint(s)")


def test_a_worker_that_gets_other_samples_says_so(tmp_path: Path, code: ModuleType) -> None:
    task = Task.read(spec("task_code:loader"), memory=SMALL)
    reread._opened.clear()  # as in another process
    code.loader = lambda: DataLoader(TensorDataset(X + 1, Y), 7)  # type: ignore[attr-defined]
    with pytest.raises(Misuse, match=r"^--data task_code:loader makes other samples than it did before"):
        task.at(mlp(tmp_path)[1], Arithmetic(memory=SMALL))
