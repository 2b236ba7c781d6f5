"""Modules with a checkpoint's tensors: an MLP inferred from shapes, or the result of the user's factory."""

import json
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from scalecurv.checkpoints.architecture import infer_layers
from scalecurv.checkpoints.content import canonical_names
from scalecurv.checkpoints.load import Checkpoint
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.user_model import quoted
from scalecurv.user_code import call

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
    """Return a Sequential of Linear layers with `activation` between them, and its architecture as JSON."""
    layers = infer_layers(checkpoint)
    modules: list[nn.Module] = [nn.Flatten()] if flatten else []
    for i, (name, bias) in enumerate(zip(layers.names, layers.biases, strict=True)):
        if i > 0:
            modules.append(ACTIVATIONS[activation]())
        linear = nn.Linear(layers.widths[i], layers.widths[i + 1], bias=bias, device="meta")
        linear.weight = nn.Parameter(_finite(checkpoint, f"{name}.weight"))
        if bias:
            linear.bias = nn.Parameter(_finite(checkpoint, f"{name}.bias"))
        modules.append(linear)
    described = {"kind": "mlp", "widths": list(layers.widths), "biases": all(layers.biases), "activation": activation}
    return nn.Sequential(*modules).eval(), json.dumps(described)


def build_from_factory(checkpoint: Checkpoint, factory: str) -> tuple[nn.Module, str]:
    """Return factory() in eval mode with the checkpoint's tensors, not rounded, and its architecture as JSON.

    Every parameter and buffer in the model's state needs a tensor of its canonical name; one suffices for tied ones,
    which stay tied. Raises CheckpointError that names a parameter or tensor without a counterpart or of another shape,
    Misuse where the factory returns no Module.
    """
    model = call("--model", factory, "factory")
    if not isinstance(model, nn.Module):
        raise Misuse(f"--model {factory} returned a {type(model).__name__}; it must return a torch.nn.Module")
    with quoted(model, f"{checkpoint.path} into --model {factory}"):
        _fill(model, checkpoint, factory)
        model.eval()
    return model, json.dumps({"kind": factory})


def _fill(model: nn.Module, checkpoint: Checkpoint, factory: str) -> None:
    """Put the checkpoint's tensors into the model, by name."""
    state = model.state_dict()
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    wanted, ties = canonical_names(state), _tied(model)
    found: dict[str, torch.Tensor] = {}
    for name, canonical in wanted.items():
        held = {tied: checkpoint.tensors[wanted[tied]] for tied in ties[name] if wanted[tied] in checkpoint.tensors}
        if not held:
            raise CheckpointError(f"{checkpoint.path} holds no tensor for {name} of --model {factory}")
        source, tensor = next(iter(held.items()))
        if other := next((n for n, t in held.items() if t.shape != tensor.shape or not torch.equal(t, tensor)), None):
            raise CheckpointError(
                f"{checkpoint.path}: {wanted[other]} differs from {wanted[source]}, --model {factory} ties them"
            )
        here = tensor.shape
        there = here if is_lazy(state[name]) else state[name].shape  # a lazy parameter takes the shape of its tensor
        if here != there:
            raise CheckpointError(
                f"{checkpoint.path}: {canonical} has shape {tuple(here)}, --model {factory} wants {tuple(there)}"
            )
        read = _finite if name in parameters else _floating
        found[name] = read(checkpoint, wanted[source]) if state[name].is_floating_point() else tensor
    if unused := set(checkpoint.tensors) - set(wanted.values()):
        raise CheckpointError(f"{checkpoint.path}: {min(unused)} has no place in --model {factory}")
    model.load_state_dict(found, assign=True)
    _tie(model, ties)


def _tied(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return, for each name in the state of `model`, all names of its tensor there, its own included."""
    names: dict[int, list[str]] = {}
    everything = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in everything:
        names.setdefault(id(tensor), []).append(name)
    state = set(model.state_dict())
    groups = {name: tuple(n for n in group if n in state) for group in names.values() for name in group}
    return {name: groups.get(name, (name,)) for name in state}


def _tie(model: nn.Module, ties: dict[str, tuple[str, ...]]) -> None:
    """Make tied names share one tensor again, as load_state_dict(assign=True) gives each name a tensor of its own."""
    for first, *others in set(ties.values()):
        module, _, leaf = first.rpartition(".")
        shared = getattr(model.get_submodule(module), leaf)
        for other in others:
            module, _, leaf = other.rpartition(".")
            setattr(model.get_submodule(module), leaf, shared)


def _finite(checkpoint: Checkpoint, name: str) -> torch.Tensor:
    """Return a parameter; raises CheckpointError where it holds infinities, which only a buffer may."""
    tensor = _floating(checkpoint, name)
    if bad := int(tensor.isinf().sum()):
        raise CheckpointError(f"{checkpoint.path}: {name} holds {bad} infinite value(s); the run diverged before it")
    return tensor


def _floating(checkpoint: Checkpoint, name: str) -> torch.Tensor:
    tensor = checkpoint.tensors[name]
    if tensor.is_complex():
        raise CheckpointError(f"{checkpoint.path}: {name} is complex; a model of real weights has no place for it")
    return tensor if tensor.is_floating_point() else tensor.float()
