"""A checkpoint's tensors in a module that can be run: an inferred MLP, or what the user's factory makes."""

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scalecurv.checkpoints.architecture import infer_layers
from scalecurv.checkpoints.load import Checkpoint
from scalecurv.checkpoints.names import canonical_names
from scalecurv.errors import CheckpointError, Misuse

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "identity": nn.Identity,
}


def build_mlp(checkpoint: Checkpoint, activation: str, flatten: bool) -> tuple[nn.Module, str]:
    """A Sequential of Linear layers with `activation` between them, and its architecture as JSON."""
    layers = infer_layers(checkpoint)
    modules: list[nn.Module] = [nn.Flatten()] if flatten else []
    for i, (name, bias) in enumerate(zip(layers.names, layers.biases, strict=True)):
        if i > 0:
            modules.append(ACTIVATIONS[activation]())
        linear = nn.Linear(layers.widths[i], layers.widths[i + 1], bias=bias, device="meta")
        linear.weight = nn.Parameter(_floating(checkpoint.tensors[f"{name}.weight"]))
        if bias:
            linear.bias = nn.Parameter(_floating(checkpoint.tensors[f"{name}.bias"]))
        modules.append(linear)
    described = {"kind": "mlp", "widths": list(layers.widths), "biases": all(layers.biases), "activation": activation}
    return nn.Sequential(*modules).eval(), json.dumps(described)


def build_from_factory(checkpoint: Checkpoint, factory: str) -> tuple[nn.Module, str]:
    """factory() with the checkpoint's tensors loaded; every parameter must find its tensor, by canonical name.

    Raises CheckpointError naming the parameter or tensor that has no counterpart.
    """
    model = _made_by(factory)
    if not isinstance(model, nn.Module):
        raise Misuse(f"--model {factory} returned a {type(model).__name__}; it must return a torch.nn.Module")
    model = model.double()  # so that loading rounds nothing: the Problem casts to the dtype of its products
    state = model.state_dict()
    wanted = canonical_names(state)
    for name, canonical in wanted.items():
        if canonical not in checkpoint.tensors:
            raise CheckpointError(f"{checkpoint.path} holds no tensor for {name} of --model {factory}")
        here, there = checkpoint.tensors[canonical].shape, state[name].shape
        if here != there:
            raise CheckpointError(
                f"{checkpoint.path}: {canonical} has shape {tuple(here)}, --model {factory} wants {tuple(there)}"
            )
    if unused := set(checkpoint.tensors) - set(wanted.values()):
        raise CheckpointError(f"{checkpoint.path}: {min(unused)} has no place in --model {factory}")
    model.load_state_dict({name: checkpoint.tensors[canonical] for name, canonical in wanted.items()})
    return model, json.dumps({"kind": factory})


def _made_by(factory: str) -> Any:
    make = resolve_factory(factory)
    try:
        return make()
    except MemoryError:  # says nothing of the factory: an attempt, to be made again
        raise
    except Exception as error:  # the user's own code: whatever it raises, its line is what helps
        raise Misuse(
            f"--model {factory} raised {type(error).__name__}: {error}; it must work without arguments"
        ) from error


def factory_source(factory: str) -> str:
    """sha256 of the source file that a factory is defined in, "" where it has none."""
    file = inspect.getsourcefile(resolve_factory(factory))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""


def resolve_factory(factory: str) -> Callable[[], Any]:
    """The callable that pkg.mod:name names, imported from the installed packages or the current directory."""
    module, _, name = factory.partition(":")
    if not module or not name:
        raise Misuse(f"--model {factory!r} is neither mlp nor of the form pkg.mod:factory")
    if "" not in sys.path and "." not in sys.path:
        sys.path.append("")  # as `python -m` would: the user's own module beside the command
    try:
        made_by = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: names that are no names
        raise Misuse(f"--model {factory} cannot be imported ({error}); is its directory on PYTHONPATH?") from error
    if not callable(made_by):
        raise Misuse(f"--model {factory} is a {type(made_by).__name__}; name a function or class that makes the model")
    return made_by


def _floating(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_floating_point() else tensor.float()
