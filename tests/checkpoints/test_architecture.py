"""MLPs from bare tensors: the layers in the order of the forward pass, or a refusal, never another order."""

import random
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scalecurv.checkpoints.architecture import Layers, infer_layers
from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import build_mlp
from scalecurv.errors import CheckpointError

WORDS = ("body", "head", "embed", "hidden", "mlp", "out", "proj", "stem", "tail", "up")
SCHEMES = {
    "sequential": lambda i, n: f"{2 * i}",
    "fc": lambda i, n: f"fc{i + 1}",
    "layers": lambda i, n: f"layers.{i}",
    "blocks": lambda i, n: f"blocks.{i // 2}.linear_{i % 2}",
    "wrapped": lambda i, n: f"module.net.{i}",
    "hidden and out": lambda i, n: f"hidden.{i}" if i < n - 1 else "out",
    "backwards": lambda i, n: f"layer{n - i}",
    "words": None,
}
NUMBERED = ("sequential", "fc", "layers", "blocks", "wrapped")
REFUSED = "give --model pkg.mod:factory"


@dataclass(frozen=True)
class Net:
    """Affine layers in the order of the forward pass, under the names that a state_dict would give them."""

    names: tuple[str, ...]
    layers: tuple[nn.Linear, ...]

    @property
    def state(self) -> dict[str, Tensor]:
        parts = (
            (f"{n}.{k}", t) for n, l in zip(self.names, self.layers, strict=True) for k, t in l.state_dict().items()
        )
        return dict(parts)

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


def net(widths: list[int], names: list[str], biases: list[bool], seed: int = 0) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = tuple(nn.Linear(a, b, bias) for (a, b), bias in zip(pairwise(widths), biases, strict=True))
    return Net(tuple(names), layers)


def save(state: dict[str, Tensor], path: Path, form: str, seed: int = 0) -> None:
    if form in ("safetensors", "converted"):
        save_file(state, path.with_suffix(".safetensors"))
    if form == "converted":
        state = load_file(path.with_suffix(".safetensors"))
    if form == "shuffled":
        state = dict(random.Random(seed).sample(list(state.items()), len(state)))
    if form != "safetensors":
        torch.save(state, path, _use_new_zipfile_serialization=form != "legacy")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Net, str, str, int]:
    """Small widths, so that several orders chain; any naming; any file whose order means something or is known lost."""
    depth = draw(st.integers(1, 5))
    widths = draw(st.lists(st.integers(1, 3), min_size=depth + 1, max_size=depth + 1))
    biases = draw(st.lists(st.booleans(), min_size=depth, max_size=depth))
    scheme = draw(st.sampled_from(list(SCHEMES)))
    forms = ["zip", "legacy"]
    if scheme != "backwards":  # numbers that run against the forward pass cannot be told once the order is lost
        forms += ["safetensors", "converted"]
    if scheme in NUMBERED:
        forms.append("shuffled")
    number = SCHEMES[scheme]
    names = [number(i, depth) for i in range(depth)] if number else draw(st.permutations(WORDS))[:depth]
    seed = draw(st.integers(0, 99))
    return net(widths, names, biases, seed), scheme, draw(st.sampled_from(forms)), seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlps")


@settings(derandomize=True, deadline=None, max_examples=120, database=None)
@given(cases())
def test_right_or_refused(folder: Path, case: tuple[Net, str, str, int]) -> None:
    original, scheme, form, seed = case
    path = folder / ("x.safetensors" if form == "safetensors" else "x.pt")
    save(original.state, path, form, seed)
    x = torch.linspace(-1, 1, 3 * original.layers[0].in_features).reshape(3, -1)
    sorted_names = list(original.state) == sorted(original.state)
    told = scheme in NUMBERED if form != "zip" and form != "legacy" else scheme in NUMBERED or not sorted_names
    refused, model = "", None
    try:
        model, _ = build_mlp(load(path), "tanh", flatten=False)
    except CheckpointError as error:
        refused = str(error)
    if model is not None:
        assert torch.equal(model(x), original(x))
    else:
        assert re.search(rf"[\w.]+\.weight .*; {re.escape(REFUSED)}$", refused)
        assert not told or form == "shuffled" or scheme == "backwards"


def test_twelve_equal_layers_in_any_file(tmp_path: Path) -> None:
    """fc10 sorts before fc2: by name alone a wrong order would chain."""
    for form in ["zip", "legacy", "safetensors", "converted"]:
        for scheme in NUMBERED:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            number = SCHEMES[scheme]
            original = net([3] * 13, [number(i, 12) for i in range(12)], [True] * 12)
            path = folder / ("x.safetensors" if form == "safetensors" else "x.pt")
            save(original.state, path, form)
            names = tuple(name.removeprefix("module.net.") for name in original.names)
            assert infer_layers(load(path)) == Layers(names, (3,) * 13, (True,) * 12)


def complaint(path: Path, state: dict[str, Tensor]) -> str:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    with pytest.raises(CheckpointError) as caught:
        infer_layers(load(path))
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path)).lstrip(": ")


def weights(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    return {name.replace("__", "."): torch.ones(shape) for name, shape in shapes.items()}


MLP = {"0.weight": torch.ones(4, 3), "0.bias": torch.ones(4), "2.weight": torch.ones(2, 4), "2.bias": torch.ones(2)}
NO_MLP: dict[str, tuple[dict[str, Tensor], str]] = {
    "layer norm": (nn.LayerNorm(4).state_dict(prefix="1."), "1.weight of shape (4,)"),
    "batch norm": (nn.BatchNorm1d(4).state_dict(prefix="1."), "1.weight of shape (4,)"),
    "convolution": (nn.Conv2d(1, 3, 2).state_dict(prefix="1."), "1.weight of shape (3, 1, 2, 2)"),
    "bias of the wrong size": ({"1.weight": torch.ones(4, 4), "1.bias": torch.ones(3)}, "1.bias of shape (3,)"),
    "bias of no layer": ({"1.bias": torch.ones(4)}, "1.bias of shape (4,)"),
    "parameter of another name": ({"gain": torch.ones(())}, "gain of shape ()"),
    "attention": (nn.MultiheadAttention(4, 1).state_dict(prefix="1."), "1.in_proj_weight of shape (12, 4)"),
    "recurrence": (nn.RNN(4, 4).state_dict(prefix="1."), "1.weight_ih_l0 of shape (4, 4)"),
    "one more dimension": ({"1.weight": torch.ones(1, 4, 4)}, "1.weight of shape (1, 4, 4)"),
}


def test_what_is_no_mlp_is_refused_by_the_tensor_that_shows_it(tmp_path: Path) -> None:
    for name in NO_MLP:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        extra, named = NO_MLP[name]
        said = complaint(folder / "x.pt", {**MLP, **extra})
        assert said.startswith(f"{named} belongs to no plain MLP; {REFUSED}")


def test_an_embedding_does_not_follow(tmp_path: Path) -> None:
    state = {"embed.weight": torch.ones(50, 3), **MLP}
    message = "0.weight of shape (4, 3) does not follow embed.weight of shape (50, 3) in an MLP"
    assert complaint(tmp_path / "x.pt", state) == f"{message}; {REFUSED}"


@pytest.mark.parametrize("legacy", [False, True])
def test_tied_weights_are_refused(tmp_path: Path, legacy: bool) -> None:
    shared = torch.ones(3, 3)
    path = tmp_path / "x.pt"
    torch.save({"0.weight": shared, "2.weight": shared}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError) as caught:
        infer_layers(load(path))
    assert str(caught.value) == f"{path}: 2.weight is tied to 0.weight, as in no plain MLP; {REFUSED}"


def test_views_of_one_flat_vector_are_not_tied(tmp_path: Path) -> None:
    flat = torch.arange(15.0)
    torch.save({"0.weight": flat[:9].view(3, 3), "2.weight": flat[9:].view(2, 3)}, tmp_path / "x.pt")
    assert infer_layers(load(tmp_path / "x.pt")) == Layers(("0", "2"), (3, 3, 2), (False, False))


def test_an_order_that_two_hints_contradict(tmp_path: Path) -> None:
    state = weights(fc2__weight=(3, 3), fc1__weight=(3, 3))
    message = "the order of fc2.weight is ambiguous: the file lists fc2, fc1, their numbers say fc1, fc2"
    assert complaint(tmp_path / "x.pt", state) == f"{message}; {REFUSED}"


def test_an_order_that_nothing_tells(tmp_path: Path) -> None:
    message = "the order of {0}.weight among {1} cannot be told from shapes, and the file sorted the names"
    state = weights(body__weight=(3, 3), head__weight=(3, 3))
    assert complaint(tmp_path / "x.safetensors", state) == f"{message.format('body', 'body, head')}; {REFUSED}"
    mixed = weights(hidden__0__weight=(3, 3), hidden__1__weight=(3, 3), out__weight=(3, 3))  # only some are numbered
    names = "hidden.0, hidden.1, out"
    assert complaint(tmp_path / "x.safetensors", mixed) == f"{message.format('hidden.0', names)}; {REFUSED}"
    many = {f"{word}.weight": torch.ones(2, 2) for word in WORDS}  # ten factorial orders
    names = ", ".join(sorted(WORDS))
    assert complaint(tmp_path / "x.safetensors", many) == f"{message.format('body', names)}; {REFUSED}"


def test_numbers_tell_where_the_file_lost_the_order(tmp_path: Path) -> None:
    torch.save(weights(fc2__weight=(2, 4), fc1__weight=(4, 3)), tmp_path / "x.pt")
    assert infer_layers(load(tmp_path / "x.pt")) == Layers(("fc1", "fc2"), (3, 4, 2), (False, False))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_shapes_tell_where_only_one_order_chains(tmp_path: Path, suffix: str) -> None:
    state = weights(a__bias=(2,), a__weight=(2, 4), b__weight=(4, 5), c__weight=(5, 3))  # sorted, and run c, b, a
    save_file(state, tmp_path / "x.safetensors")
    torch.save(load_file(tmp_path / "x.safetensors"), tmp_path / "x.pt")
    assert infer_layers(load(tmp_path / f"x{suffix}")) == Layers(("c", "b", "a"), (3, 5, 4, 2), (False, False, True))


def test_what_cannot_be_part_of_a_chain_is_left_out(tmp_path: Path) -> None:
    """Counts and weights of a loss, wherever they are; a norm, a bias or a scale may be part of the network."""
    inside = {f"model.{name}": tensor for name, tensor in MLP.items()}
    anywhere = {"criterion.weight": torch.ones(2), "steps": torch.tensor(3), "0.total_ops": torch.ones(1)}
    anywhere |= {"train_acc.tp": torch.tensor([3, 1]), "val_loss_fn.pos_weight": torch.ones(1)}
    for i, state in enumerate((MLP, inside)):
        torch.save({**state, **anywhere}, tmp_path / f"{i}.pt")
        layers = infer_layers(load(tmp_path / f"{i}.pt"))
        assert (layers.widths, layers.left_out) == ((3, 4, 2), tuple(sorted(anywhere)))
        for name, shape in {"norm.weight": (3,), "head_bias": (2,), "temperature": (), "act.weight": (1,)}.items():
            said = complaint(tmp_path / f"{name}.pt", {**state, name: torch.ones(shape)})
            assert said.startswith(f"{name} of shape {shape} belongs"), said
            assert f"leave it out with --ignore '^{name.replace('.', '[.]')}$'" in said


def test_networks_side_by_side_are_no_chain(tmp_path: Path) -> None:
    """Even where one could follow the other; numbered modules are parts of one network."""

    def two(first: str, second: str) -> dict[str, Tensor]:
        names = [f"{prefix}{i}.{part}" for prefix in (first, second) for i in (0, 2) for part in ("weight", "bias")]
        return {name: torch.rand((3, 3) if name.endswith("weight") else (3,)) for name in names}

    for first, second in (("left.", "right."), ("G.", "D."), ("actor.net.", "critic.net.")):
        said = complaint(tmp_path / "x.pt", two(first, second))
        assert said == f"holds several networks: {said.partition(': ')[2]}"
        assert f"--ignore '^{second.replace('.', '[.]')}' leaves only {first}" in said
    torch.save(two("block1.", "block2."), tmp_path / "x.pt")
    assert len(infer_layers(load(tmp_path / "x.pt")).names) == 4
