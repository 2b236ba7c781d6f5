"""Tensors in a module: an inferred MLP, or what a factory makes, and the tensor that has no place in it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import ACTIVATIONS, build_from_factory, build_mlp
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.user_code import resolve

NETS = """
import torch
from torch import nn

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.norm(self.b(torch.tanh(self.a(x))))

def frozen():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    return model

number = 3

def tensor():
    return torch.ones(3)

def needy():
    raise RuntimeError("no weights here")
"""


@pytest.fixture(scope="module", name="nets", autouse=True)
def _nets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("nets")
    (folder / "users_nets.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield __import__("users_nets")


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, path)
    return path


def settled(model: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Every parameter and buffer another number that float32 cannot hold."""
    rng = torch.Generator().manual_seed(0)
    model = model.to(dtype).eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=rng, dtype=torch.float64) + 0.5)
    return model


def test_each_activation_stands_between_the_layers(tmp_path: Path) -> None:
    for activation in ACTIVATIONS:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        original = nn.Sequential(
            nn.Linear(4, 3), ACTIVATIONS[activation](), nn.Linear(3, 3), ACTIVATIONS[activation](), nn.Linear(3, 2)
        )
        model, architecture = build_mlp(load(saved(folder / "x.pt", original.state_dict())), activation, flatten=False)
        x = torch.linspace(-2, 2, 20).reshape(5, 4)
        assert torch.equal(model(x), original(x))
        assert not model.training
        described = {"kind": "mlp", "widths": [4, 3, 3, 2], "biases": True, "activation": activation}
        assert json.loads(architecture) == described


def test_activations_do_what_their_names_say() -> None:
    x = torch.linspace(-3, 3, 13)
    expected = {
        "relu": x.clamp(min=0),
        "leaky_relu": torch.where(x > 0, x, 0.01 * x),
        "tanh": x.tanh(),
        "sigmoid": 1 / (1 + (-x).exp()),
        "gelu": x / 2 * (1 + torch.erf(x / 2**0.5)),
        "silu": x / (1 + (-x).exp()),
        "softplus": (1 + x.exp()).log(),
        "elu": torch.where(x > 0, x, x.exp() - 1),
        "identity": x,
    }
    assert ACTIVATIONS.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(ACTIVATIONS[name]()(x), values, rtol=1e-5, atol=1e-6)


def test_images_are_flattened_first(tmp_path: Path) -> None:
    original = nn.Sequential(nn.Flatten(), nn.Linear(6, 2, bias=False))
    model, architecture = build_mlp(load(saved(tmp_path / "x.pt", original.state_dict())), "relu", flatten=True)
    x = torch.arange(12.0).reshape(2, 2, 3)
    assert torch.equal(model(x), original(x))
    assert json.loads(architecture)["biases"] is False


def test_whole_numbers_become_floats(tmp_path: Path) -> None:
    state = {"0.weight": torch.arange(6).reshape(2, 3), "0.bias": torch.ones(2)}
    model, _ = build_mlp(load(saved(tmp_path / "x.pt", state)), "relu", flatten=False)
    assert torch.equal(model(torch.ones(1, 3)), torch.tensor([[4.0, 13.0]]))


@pytest.mark.parametrize("form", ["zip", "wrapped", "save_model"])
def test_a_factory_gets_every_tensor_to_the_last_bit(tmp_path: Path, nets: Any, form: str) -> None:
    original = settled(nets.Tied())
    path = tmp_path / ("x.safetensors" if form == "save_model" else "x.pt")
    if form == "save_model":
        save_model(original, str(path))
    else:
        saved(path, {("module." if form == "wrapped" else "") + n: t for n, t in original.state_dict().items()})
    model, architecture = build_from_factory(load(path), "users_nets:Tied")
    assert json.loads(architecture) == {"kind": "users_nets:Tied"}
    assert {n: t.tolist() for n, t in model.state_dict().items()} == {
        n: t.tolist() for n, t in original.state_dict().items()
    }
    assert len(list(model.parameters())) == len(list(original.parameters()))  # still tied
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)
    assert torch.equal(model.eval()(x), original(x))


def test_what_a_factory_made_is_evaluated_not_trained(tmp_path: Path, nets: Any) -> None:
    path = saved(tmp_path / "x.pt", nets.frozen().train().state_dict())
    model, _ = build_from_factory(load(path), "users_nets:frozen")
    assert not any(module.training for module in model.modules())


def test_a_factory_says_what_is_trained(tmp_path: Path, nets: Any) -> None:
    model, _ = build_from_factory(load(saved(tmp_path / "x.pt", nets.frozen().state_dict())), "users_nets:frozen")
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


STATE = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)).state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"0.bias": None},
            " holds no tensor for 0.bias of --model users_nets:frozen; it holds 0.weight, 1.weight, 1.bias",
        ),
        (
            {"1.weight": torch.ones(2, 4)},
            ": 1.weight has shape (2, 4), --model users_nets:frozen wants (2, 3); give the factory of the "
            "model that was saved, built with the same sizes",
        ),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = saved(tmp_path / "x.pt", {name: t for name, t in {**STATE, **change}.items() if t is not None})
    with pytest.raises(CheckpointError) as caught:
        build_from_factory(load(path), "users_nets:frozen")
    assert str(caught.value) == f"{path}{message}"


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("resnet", "--model 'resnet' is not of the form pkg.mod:factory"),
        ("users_nets:", "--model 'users_nets:' is not of the form pkg.mod:factory"),
        (":frozen", "--model ':frozen' is not of the form pkg.mod:factory"),
        (
            "no_such_module:net",
            "--model no_such_module:net cannot be imported (No module named 'no_such_module'); "
            "is its directory on PYTHONPATH?",
        ),
        (
            "users_nets:net",
            "--model users_nets:net: module users_nets has no net; name a factory that it defines",
        ),
        (".nets:net", "--model '.nets:net' is not of the form pkg.mod:factory"),
        ("users_nets:number", "--model users_nets:number is an int; name a function or class, a factory"),
    ],
)
def test_factories_that_are_none(factory: str, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        resolve("--model", factory, "factory")
    assert str(caught.value) == message


def test_a_factory_must_make_a_module(tmp_path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        build_from_factory(load(saved(tmp_path / "x.pt", STATE)), "users_nets:tensor")
    assert str(caught.value) == "--model users_nets:tensor returned a Tensor; it must return a torch.nn.Module"


def test_a_factory_that_raises_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        build_from_factory(load(saved(tmp_path / "x.pt", STATE)), "users_nets:needy")
    message = "--model users_nets:needy raised RuntimeError: no weights here; it must work without arguments"
    assert str(caught.value) == message


def test_the_current_directory_is_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_the_command.py").write_text("from torch.nn import Identity as net")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in __import__("sys").path if entry not in ("", ".")])
    assert resolve("--model", "beside_the_command:net", "factory") is nn.Identity
