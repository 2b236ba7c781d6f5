"""Whole modules and TorchScript archives: their state_dict, read off without building or running them."""

import copy
import gzip
import io
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from scalecurv.pickles.modules import state_of
from scalecurv.pickles.placeholder import Budget, Placeholder, Unreadable
from scalecurv.pickles.read import read_content

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")


class Net(nn.Module):
    """Tied weights, buffers that are kept and buffers that are not, and a module within modules."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(2)])
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(2, 2).tril())
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.scales = nn.ParameterDict({"a": torch.ones(1)})
        self.register_parameter("none", None)
        self.hidden = torch.ones(5)  # no part of a state_dict

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks[1](self.blocks[0](self.embedding(x))))


class Trainer:
    """An object around a model, pickled whole."""

    def __init__(self, model: nn.Module):
        self.model, self.losses, self.hook = model, [1.0], print


class Hidden(nn.Linear):
    """A module that writes another state than its attributes."""

    def __getstate__(self) -> dict[str, Any]:
        return {"packed": 1}

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise AssertionError("was run")


def check(found: Any, model: nn.Module) -> None:
    wanted = model.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_the_state_dict_of_a_module(tmp_path: Path) -> None:
    model = Net()
    for i in range(5):
        if i < 2:
            torch.save({"model": model, "deep": [(1, model)]}, tmp_path / "x.pt", _use_new_zipfile_serialization=i == 0)
        else:
            (tmp_path / "x.pt").write_bytes(pickle.dumps({"model": model, "deep": [(1, model)]}, (0, 2, 5)[i - 2]))
        found = read_content(tmp_path / "x.pt")
        check(found["model"], model)
        assert found["deep"][0][1] is found["model"]
        assert found["model"]["head.weight"].data_ptr() == found["model"]["embedding.weight"].data_ptr()


def test_whole_modules_are_checkpoints(tmp_path: Path) -> None:
    model = Net()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    plain = load(tmp_path / "state.pt").fingerprint
    for content in (
        model,
        {"model": model, "epoch": 3},
        nn.DataParallel(model),
        Trainer(model),
        {"net": nn.DataParallel(model)},
    ):
        torch.save(content, tmp_path / "x.pt")
        assert load(tmp_path / "x.pt").fingerprint == plain
        torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
        assert load(tmp_path / "x.pt").fingerprint == plain


def test_every_layer_of_torch(tmp_path: Path) -> None:
    layers = [
        nn.LSTM(2, 3, 2, bidirectional=True), nn.MultiheadAttention(4, 2), nn.TransformerEncoderLayer(4, 2, 8),
        nn.Conv2d(1, 2, 3), nn.ModuleDict({"model": nn.Linear(2, 2)}), nn.ParameterList([torch.ones(2)]),
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)).parametrizations, nn.Bilinear(2, 3, 4), nn.PReLU(),
    ]  # fmt: skip
    for layer in layers:
        torch.save(layer, tmp_path / "x.pt")
        check(read_content(tmp_path / "x.pt"), layer)


def test_a_module_that_hides_its_weights_is_refused(tmp_path: Path) -> None:
    torch.save(Hidden(2, 2), tmp_path / "x.pt")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)
    assert "save model.state_dict()" in str(caught.value)


def test_modules_without_end() -> None:
    """A module that contains itself, and modules that share others so that they are many."""
    empty: dict[str, Any] = {"_parameters": {}, "_buffers": {}}
    inner = Placeholder("a.Module", (), {**empty, "_modules": {}})
    circle = copy.copy(inner)
    circle.state = {**empty, "_modules": {"a": circle}}
    shared = inner
    for _ in range(90):
        shared = Placeholder("a.Module", (), {**empty, "_modules": {"a": shared, "b": shared}})
    with pytest.raises(Unreadable, match="holds a module of modules without end"):
        state_of(circle, Budget(1000))
    with pytest.raises(Unreadable, match="unpacks to far more than its size"):
        state_of(shared, Budget(1000))


def scripted(model: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(model), buffer)
    return buffer.getvalue()


def test_torchscript(tmp_path: Path) -> None:
    """Parameters and buffers as torch.jit.load says; tensors that are neither are left out."""
    models = [
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Sequential(nn.Conv1d(2, 2, 1), nn.Linear(1, 1))),
        Script(),
    ]
    for model in models:
        (tmp_path / "x.pt").write_bytes(scripted(model))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted: OrderedDict[str, Tensor] = torch.jit.load(tmp_path / "x.pt").state_dict()
        found = read_content(tmp_path / "x.pt")
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


class Script(nn.Module):
    """A module with a tensor that is neither parameter nor buffer, lists and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2, bias=False)])
        self.plain, self.sizes, self.register = torch.ones(3), [1, 2], {"a": torch.ones(1)}
        self.register_buffer("kept", torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x + self.kept + self.plain.sum() + self.sizes[0] + self.register["a"]


def test_frozen_torchscript_has_no_parameters(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.freeze(torch.jit.script(nn.Linear(2, 2)).eval()), buffer)
    (tmp_path / "x.pt").write_bytes(buffer.getvalue())
    with pytest.raises(
        CheckpointError, match="is a TorchScript archive without parameters, as of a frozen module; save"
    ):
        load(tmp_path / "x.pt")


def test_what_is_advised_leads_to_an_answer(tmp_path: Path) -> None:
    """A file that is refused is read once it is saved or unpacked as its line says."""
    model, path = Hidden(2, 2), tmp_path / "x.pt"
    plain = io.BytesIO()
    torch.save(model.state_dict(), plain)
    for content, advice, followed in (
        (pickle.dumps(model), "save model.state_dict()", plain.getvalue()),
        (gzip.compress(plain.getvalue()), "decompress it", plain.getvalue()),
        (b"garbage" * 9, "save model.state_dict() with torch.save", plain.getvalue()),
        (plain.getvalue()[:-100], "it may be cut short", plain.getvalue()),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert advice in str(caught.value)
        path.write_bytes(followed)
        assert load(path).tensors.keys() == {"weight", "bias"}
