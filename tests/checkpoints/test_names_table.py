"""Names of tensors in files against those of the model that they are for: docs/checkpoints.md has the outcome."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import build_from_factory
from scalecurv.errors import CheckpointError
from tests.pages import check_table, row

HEADING = row("names in the file", "outcome with `--model`")
X = torch.linspace(-1, 1, 10).reshape(5, 2)
State = dict[str, Tensor]


class Tied(nn.Module):
    """The matrix of the head is that of the embedding, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(x)))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2))


@dataclass(frozen=True)
class Names:
    """`edit` turns the names of the model's state into those of the file; `advice` is in the refusal, where it is one.

    `ignore` is the option that the advice names, with which the file is read.
    """

    edit: Callable[[State], State]
    model: Callable[[], nn.Module] = plain
    advice: str | None = None
    ignore: str | None = None


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def with_infix(infix: str) -> Callable[[State], State]:
    return lambda state: {name.replace(".", f".{infix}", 1): tensor for name, tensor in state.items()}


def without(word: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if word not in name}


def with_more(**more: Tensor) -> Callable[[State], State]:
    return lambda state: state | {name.replace("__", "."): tensor for name, tensor in more.items()}


def two_sets(state: State) -> State:
    return {f"student.{n}": t for n, t in state.items()} | {f"teacher.{n}": t + 1 for n, t in state.items()}


NAMES: dict[str, Names] = {
    "the model's": Names(lambda state: state),
    "with `model.` before each": Names(prefixed("model.")),
    "with any other prefix, `backbone.`": Names(prefixed("backbone.")),
    "with `module.`, `_orig_mod.` or `_fsdp_wrapped_module.` within": Names(with_infix("_orig_mod.")),
    "with a prefix, and `criterion.weight` beside": Names(
        lambda state: prefixed("model.")(state) | {"criterion.weight": torch.ones(2)}
    ),
    "without the head that is tied to the embedding": Names(without("head"), Tied),
    "without `num_batches_tracked`": Names(without("num_batches")),
    "with `total_ops` and `total_params`": Names(with_more(total_ops=torch.zeros(1), total_params=torch.zeros(1))),
    "without `running_mean`": Names(without("running_mean"), advice="running_mean"),
    "without a weight": Names(without("3.weight"), advice="3.weight"),
    "with a weight of another shape": Names(lambda state: state | {"3.weight": torch.ones(4, 3)}, advice="3.weight"),
    "two sets that fit, `student.` and `teacher.`": Names(two_sets, advice="--ignore", ignore="^teacher[.]"),
}


def test_the_table_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read gives the outputs of the model that was saved, and what is refused names the tensor."""
    module = ModuleType("names_here")
    monkeypatch.setitem(sys.modules, "names_here", module)
    rows = []
    for i, (name, case) in enumerate(NAMES.items()):
        torch.manual_seed(i)
        model = case.model().eval()
        module.make = case.model  # type: ignore[attr-defined]
        path = tmp_path / f"step_{i}.pt"
        torch.save(case.edit(model.state_dict()), path)
        options: dict[str, Any] = {}
        outcome = "read"
        if case.advice is not None:
            with pytest.raises(CheckpointError) as caught:
                build_from_factory(load(path), "names_here:make")
            message = str(caught.value)
            assert case.advice in message
            assert "\n" not in message
            outcome = "refused, and named"
            if case.ignore is not None:
                assert case.ignore in message
                outcome, options = f"refused; read with `--ignore '{case.ignore}'`", {"ignore": case.ignore}
        if case.advice is None or options:
            built = build_from_factory(load(path, **options), "names_here:make")[0]
            assert torch.equal(built(X), model(X)), name
        rows.append(row(name, outcome))
    check_table("checkpoints.md", HEADING, rows)
