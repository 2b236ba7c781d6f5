"""Tensors by the names of a model: the prefix that makes most names fit, twins, and what has no place there."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import build_from_factory, left_out_of
from scalecurv.errors import CheckpointError

NETS = """
import torch
from torch import nn

def plain():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = plain()

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "mix": nn.Linear(3, 3)})
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.model["embed"].weight

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Linear(2, 2)
        self.register_buffer("mask", torch.ones(2))
        self.register_buffer("positions", torch.arange(2), persistent=False)

def normed():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2))

class Colliding(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.module = nn.Linear(2, 2), nn.ModuleDict({"w": nn.Linear(2, 2)})
"""


@pytest.fixture(scope="module", name="nets", autouse=True)
def _nets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("nets")
    (folder / "matched_nets.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield __import__("matched_nets")


def drawn(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Return a state of other numbers than the factory's."""
    rng = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    return {n: torch.rand(t.shape, generator=rng) if t.is_floating_point() else t + 7 for n, t in state.items()}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def built(folder: Path, state: dict[str, Tensor], net: str, ignore: str | None = None) -> tuple[nn.Module, list[str]]:
    torch.save(state, folder / "x.pt")
    model, architecture = build_from_factory(load(folder / "x.pt", ignore=ignore), f"matched_nets:{net}")
    return model, left_out_of(architecture)


def refusal(folder: Path, state: dict[str, Tensor], net: str, ignore: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        built(folder, state, net, ignore)
    assert str(caught.value).startswith(f"{folder / 'x.pt'} ")
    return str(caught.value).removeprefix(f"{folder / 'x.pt'} ")


def same(model: nn.Module, state: dict[str, Tensor]) -> bool:
    held = model.state_dict()
    return held.keys() == state.keys() and all(torch.equal(held[name], tensor) for name, tensor in state.items())


def test_one_prefix_more_or_less_on_either_side(tmp_path: Path, nets: Any) -> None:
    plain, inside = drawn(nets.plain()), drawn(nets.Inside(), 1)
    bare = {name.removeprefix("backbone."): tensor for name, tensor in inside.items()}
    for prefix in ("", "model.", "backbone.", "lit.anything.", "module.backbone._orig_mod."):
        model, left_out = built(tmp_path, prefixed(prefix, plain), "plain")
        assert (same(model, plain), left_out) == (True, []), prefix
        assert same(built(tmp_path, prefixed(prefix, bare), "Inside")[0], inside), prefix


def test_what_has_no_place_is_left_out_and_listed(tmp_path: Path, nets: Any) -> None:
    state = drawn(nets.plain())
    others = {"criterion.weight": torch.ones(2), "n_averaged": torch.tensor(3), "a\x1b.total_ops": torch.ones(1)}
    model, left_out = built(tmp_path, prefixed("module.net.", state) | others, "plain")
    assert (same(model, state), left_out) == (True, ["a\\x1b.total_ops", "criterion.weight", "n_averaged"])
    many = {f"teacher.{i}.weight": torch.ones(9) for i in range(30)}
    left_out = built(tmp_path, state | many, "plain")[1]
    assert (len(left_out), left_out[-1]) == (21, "10 others")


def test_weight_norm_of_before_parametrizations_is_the_same_function(tmp_path: Path, nets: Any) -> None:
    """Torch itself loads such a state_dict; the names of now are read as ever."""
    new = drawn(nets.normed())
    old = {name.replace("parametrizations.weight.original0", "weight_g"): tensor for name, tensor in new.items()}
    old = {name.replace("parametrizations.weight.original1", "weight_v"): tensor for name, tensor in old.items()}
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    model = nets.normed()
    model.load_state_dict(dict(old))
    for i, state in enumerate((old, new, {f"model.{name}": tensor for name, tensor in old.items()})):
        torch.save(state, tmp_path / f"{i}.pt")
        found, _ = build_from_factory(load(tmp_path / f"{i}.pt"), "matched_nets:normed")
        assert torch.equal(found(x), model(x))


def test_tied_parameters_are_filled_by_their_twin(tmp_path: Path, nets: Any) -> None:
    state = drawn(nets.Tied())
    state["head.weight"] = state["model.embed.weight"]
    for left in ("head.weight", "model.embed.weight"):
        model, _ = built(tmp_path, {name: tensor for name, tensor in state.items() if name != left}, "Tied")
        assert same(model, state), left
        assert model.head.weight is model.model["embed"].weight


def test_of_several_that_fit_one_is_asked_for(tmp_path: Path, nets: Any) -> None:
    one, two = drawn(nets.plain(), 1), drawn(nets.plain(), 2)
    for first, second in (("student.", "teacher."), ("D.", "G."), ("online.0.", "target.")):
        both = prefixed(first, one) | prefixed(second, two)
        pattern = f"^{second.replace('.', '[.]')}"
        message = f"{first}, {second}; --ignore '{pattern}' leaves only {first}"
        assert (
            refusal(tmp_path, both, "plain") == f"holds several networks that fit --model matched_nets:plain: {message}"
        )
        assert same(built(tmp_path, both, "plain", pattern)[0], one)


def test_the_models_own_names_come_first_and_then_the_trainers(tmp_path: Path, nets: Any) -> None:
    one, two = drawn(nets.plain(), 1), drawn(nets.plain(), 2)
    for prefix in ("", "model.", "net."):
        model, left_out = built(tmp_path, prefixed("model_ema.", two) | prefixed(prefix, one), "plain")
        assert same(model, one), prefix
        assert left_out == sorted(prefixed("model_ema.", two))


def test_an_average_does_not_stand_in_for_weights_that_lack_one(tmp_path: Path, nets: Any) -> None:
    """Alone it is taken, and so it is where what lies beside it is no network of that kind."""
    one, two = drawn(nets.plain(), 1), drawn(nets.plain(), 2)
    lacking = {name: tensor for name, tensor in one.items() if name != "2.bias"}
    for prefix in ("", "model.", "network."):
        both = prefixed(prefix, lacking) | prefixed("ema.", two)
        assert refusal(tmp_path, both, "plain").startswith("holds no tensor for 2.bias of --model matched_nets:plain")
        pattern = f"^{prefix.replace('.', '[.]')}(?!ema)"
        assert same(built(tmp_path, both, "plain", pattern)[0], two), prefix
    assert same(built(tmp_path, prefixed("ema.", two) | {"head.2.bias": torch.ones(2)}, "plain")[0], two)
    assert same(built(tmp_path, prefixed("network.", one) | prefixed("network_ema.", two), "plain")[0], one)


def test_only_what_fits_in_shape_fits(tmp_path: Path, nets: Any) -> None:
    one, other = drawn(nets.plain(), 1), {n: torch.ones(*t.shape, 1) for n, t in drawn(nets.plain()).items()}
    assert same(built(tmp_path, prefixed("a.", other) | prefixed("b.", one), "plain")[0], one)
    lacking = {name: tensor for name, tensor in drawn(nets.plain(), 2).items() if name != "2.bias"}
    assert same(built(tmp_path, prefixed("a.", lacking) | prefixed("b.", one), "plain")[0], one)


def test_tensors_of_a_list_have_no_names(tmp_path: Path, nets: Any) -> None:
    listed = {str(i): tensor for i, tensor in enumerate(drawn(nets.plain()).values())}
    assert refusal(tmp_path, listed, "plain").endswith(
        "; these are places in a list, not names: save model.state_dict()"
    )


def test_a_parameter_without_a_tensor_is_refused_and_only_some_buffers_are_not(tmp_path: Path, nets: Any) -> None:
    state = drawn(nets.plain())
    without = {name: {n: t for n, t in state.items() if n != name} for name in state}
    model, _ = built(tmp_path, without["1.num_batches_tracked"], "plain")  # as torch takes it
    assert same(model, state | {"1.num_batches_tracked": torch.tensor(0)})
    held = "it holds 0.weight, 0.bias, 1.weight, 1.bias, 1.running_var, 1.num_batches_tracked and 2 others"
    advice = "a buffer that is no part of checkpoints has persistent=False"
    assert refusal(tmp_path, without["1.running_mean"], "plain") == (
        f"holds no tensor for the buffer 1.running_mean of --model matched_nets:plain; {held}; {advice}"
    )
    assert refusal(tmp_path, without["2.bias"], "plain").startswith("holds no tensor for 2.bias of --model")
    masked = drawn(nets.Masked())
    assert same(built(tmp_path, masked, "Masked")[0], masked)  # positions are no part of its state
    assert "the buffer mask" in refusal(tmp_path, {n: t for n, t in masked.items() if n != "mask"}, "Masked")


def test_a_model_whose_own_names_would_become_one(tmp_path: Path, nets: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        built(tmp_path, {"w.weight": torch.ones(2, 2), "w.bias": torch.ones(2)}, "Colliding")
    assert str(caught.value).startswith("--model matched_nets:Colliding has w.bias and module.w.bias, which are one")


def test_an_adapter_is_told(tmp_path: Path, nets: Any) -> None:
    state = {f"base_model.model.0.lora_{kind}.weight": torch.ones(2, 3) for kind in "AB"}
    assert "it is an adapter (LoRA), " in refusal(tmp_path, state, "plain")


def test_the_names_are_in_the_record(tmp_path: Path, nets: Any) -> None:
    torch.save(drawn(nets.plain()) | {"old": torch.ones(1)}, tmp_path / "x.pt")
    architecture = build_from_factory(load(tmp_path / "x.pt"), "matched_nets:plain")[1]
    assert json.loads(architecture) == {"kind": "matched_nets:plain", "left_out": ["old"]}
