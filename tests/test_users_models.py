"""Models as users bring them, through the command: served with the right loss, or failed in one line."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

from scalecurv.results.query import open_store
from tests.commands import analyze, invoke
from tests.runs import write_run

X = np.random.default_rng(0).standard_normal((20, 3))
WORDS = np.random.default_rng(1).integers(0, 5, (20, 3))
Y = np.random.default_rng(2).integers(0, 2, 20)


class By(nn.Module):
    """An affine layer, `act`, and another one."""

    def __init__(self, act: Callable[[Tensor], Tensor] = torch.tanh, outputs: int = 2):
        super().__init__()
        self.first, self.act, self.head = nn.Linear(3, 4), act, nn.Linear(4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.first(x)))


class Words(nn.Module):
    def __init__(self, kind: type[nn.Module] = nn.Embedding, **options: object):
        super().__init__()
        self.embed, self.head = kind(5, 3, **options), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        return self.head(torch.tanh(h if h.ndim == 2 else h.mean(1)))


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.head = nn.Linear(3, 3), nn.Linear(3, 2)
        self.register_buffer("mask", torch.triu(torch.full((3, 3), -torch.inf), 1))

    def forward(self, x: Tensor) -> Tensor:
        q = self.query(x)
        weights = (q[:, :, None] * q[:, None, :] + self.mask).softmax(-1)
        return self.head((weights @ q[:, :, None])[:, :, 0])


class Late(By):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 4 and self.first.weight[0, 0] > 1:
            raise KeyError("no such mask")
        return super().forward(x)


def normed() -> nn.Module:
    model = By()
    weight_norm(model.first)
    return model


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2))


def checkpointed() -> nn.Module:
    return By(lambda h: checkpoint(torch.tanh, h, use_reentrant=False))


def in_place() -> nn.Module:
    return By(lambda h: h.tanh_())


def bag() -> nn.Module:
    return Words(nn.EmbeddingBag)


def sparse() -> nn.Module:
    return Words(sparse=True)


def padded() -> nn.Module:
    return Words(padding_idx=0)


def long_rows() -> nn.Module:
    return Words(max_norm=0.01)


masked, late = Masked, Late
SERVED = {
    "normed": X,
    "lazy": X,
    "checkpointed": X,
    "in_place": X,
    "masked": X,
    "bag": WORDS,
    "sparse": WORDS,
    "padded": WORDS,
}


def stored(tmp_path: Path, name: str, x: np.ndarray) -> tuple[nn.Module, object, Path]:
    """A model saved and analysed by the command."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = globals()[name]()
        model(torch.as_tensor(x[:2] if x.dtype.kind == "i" else x[:2].astype(np.float32)))
    model = model.double().eval()
    np.savez(tmp_path / "data.npz", x=x, y=Y)
    (tmp_path / "run").mkdir()
    torch.save(model.state_dict(), tmp_path / "run" / "step_1.pt")
    words = ("--data", tmp_path / "data.npz", "--loss", "cross_entropy", "--model", f"tests.test_users_models:{name}")
    return (
        model,
        analyze(tmp_path / "run", tmp_path / "store", *words, "--measure", "gradient,moments"),
        tmp_path / "store",
    )


@pytest.mark.parametrize("name", SERVED)
def test_it_is_served_and_its_trace_is_that_of_double_backward(tmp_path: Path, name: str) -> None:
    model, said, store = stored(tmp_path, name, SERVED[name])
    assert said.exit_code == 0, said.output
    row = open_store(store).results().iloc[0]
    loss = functional.cross_entropy(model(torch.as_tensor(SERVED[name].copy())), torch.as_tensor(Y))
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-12)
    if name == "normed":  # torch's own double backward of weight norm is wrong: see test_second_order
        return
    weights = list(model.parameters())
    if name in ("bag", "sparse"):  # nor has it one of these: the same rows by indexing
        embed = model.embed.weight
        h = torch.tanh(embed[torch.as_tensor(WORDS)].mean(1))
        loss = functional.cross_entropy(model.head(h), torch.as_tensor(Y))
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, create_graph=True)])
    trace = 0.0
    for i, s in enumerate(slope):
        if s.requires_grad:  # not so in a padding row
            row_i = torch.autograd.grad(s, weights, retain_graph=True, materialize_grads=True)
            trace += torch.cat([part.flatten() for part in row_i])[i].item()
    assert row["trace_lower"] - 1e-10 <= trace <= row["trace_upper"] + 1e-10
    assert row["trace_upper"] - row["trace_lower"] < 1e-6


def test_what_max_norm_would_change_is_refused_in_a_line_and_the_advice_leads_on(tmp_path: Path) -> None:
    model, said, _ = stored(tmp_path, "long_rows", WORDS)
    assert said.exit_code == 1
    assert "max_norm" in said.output
    assert "Traceback" not in said.output
    with torch.no_grad():
        model.embed.weight.copy_(torch.renorm(model.embed.weight, 2, 0, 0.01))
    torch.save(model.state_dict(), tmp_path / "run" / "step_1.pt")
    words = ("--data", tmp_path / "data.npz", "--loss", "cross_entropy", "--model", "tests.test_users_models:long_rows")
    assert analyze(tmp_path / "run", tmp_path / "store", *words).exit_code == 0


def test_a_model_that_raises_late_fails_its_checkpoint_and_the_sweep_goes_on(tmp_path: Path) -> None:
    _, said, store = stored(tmp_path, "late", X)
    assert said.exit_code == 0, said.output
    state = torch.load(tmp_path / "run" / "step_1.pt", weights_only=True)
    state["first.weight"][0, 0] = 2
    torch.save(state, tmp_path / "run" / "step_2.pt")
    words = ("--data", tmp_path / "data.npz", "--loss", "cross_entropy", "--model", "tests.test_users_models:late")
    said = analyze(tmp_path / "run", tmp_path / "store", *words)
    assert said.exit_code == 1
    assert "module" not in said.output.split("step_2.pt")[0]
    assert "the model (Late) raised KeyError: 'no such mask'" in said.output
    listed = invoke("query", store, "select step, status from results order by step", "--format", "csv").stdout
    assert {(row["step"], row["status"]) for row in csv.DictReader(io.StringIO(listed))} == {
        ("1", "ok"),
        ("2", "failed"),
    }


def test_a_model_broken_at_one_checkpoint(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    result = analyze(run, tmp_path / "store", "--model", "tests.engine.models:BrokenAtStepOne")
    assert result.exit_code == 1
    assert "the model's own bug" in result.stderr
    assert "Traceback" not in result.stderr
