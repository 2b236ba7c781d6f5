"""Modules with a checkpoint's tensors: an MLP inferred from shapes, or the result of the user's factory."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from scalecurv.checkpoints.architecture import adapter_advice, infer_layers
from scalecurv.checkpoints.load import Checkpoint
from scalecurv.checkpoints.matching import Names, shift_of
from scalecurv.display import kind_of, listing, shown
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.user_model import quoted
from scalecurv.user_code import call

LISTED = 20  # names of tensors that are no part of the model, in its description
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
    kind = {"kind": "mlp", "widths": list(layers.widths), "biases": all(layers.biases), "activation": activation}
    return nn.Sequential(*modules).eval(), described(kind, layers.left_out)


def build_from_factory(checkpoint: Checkpoint, factory: str) -> tuple[nn.Module, str]:
    """Return factory() in eval mode with the checkpoint's tensors, not rounded, and its architecture as JSON.

    Every parameter and buffer in the model's state needs a tensor of its name, with one prefix before all names or
    without; one suffices for tied ones, which stay tied. Tensors without a place in the model are listed as "left_out"
    in the JSON. Raises CheckpointError that names a parameter or buffer without a tensor, or with one of another shape,
    and prefixes that fit equally well; Misuse where the factory returns no Module.
    """
    model = call("--model", factory, "factory")
    if not isinstance(model, nn.Module):
        raise Misuse(f"--model {factory} returned {kind_of(model)}; it must return a torch.nn.Module")
    with quoted(model, f"{checkpoint.path} into --model {factory}"):
        left_out = _fill(model, checkpoint, factory)
        model.eval()
    return model, described({"kind": factory}, left_out)


def described(architecture: Mapping[str, Any], left_out: Sequence[str]) -> str:
    """Return an architecture as JSON, with the names of tensors of the file that are no part of it, shown in a line."""
    names = [shown(name) for name in left_out[:LISTED]]
    rest = [f"{len(left_out) - LISTED} others"] if len(left_out) > LISTED else []
    return json.dumps({**architecture, **({"left_out": [*names, *rest]} if left_out else {})})


def left_out_of(architecture: str) -> list[str]:
    """Return the names of tensors that are no part of a model, from its architecture as JSON."""
    content = json.loads(architecture) if architecture else {}
    return [str(name) for name in content.get("left_out", [])]


def _fill(model: nn.Module, checkpoint: Checkpoint, factory: str) -> list[str]:
    """Put the checkpoint's tensors into the model, by name; return the names of those without a place there."""
    names = Names(model, factory, checkpoint.tensors)
    shift = shift_of(checkpoint, names, factory)
    sources = {name: there for name, plain in names.plain.items() if (there := shift(plain)) in checkpoint.tensors}
    found: dict[str, torch.Tensor] = {}
    for name, here in names.state.items():
        held = {there: checkpoint.tensors[there] for tied in names.ties[name] if (there := sources.get(tied))}
        if not held:
            found[name] = _own(model, names, name, checkpoint, factory)
            continue
        source, tensor = next(iter(held.items()))
        if other := next((n for n, t in held.items() if t.shape != tensor.shape or not torch.equal(t, tensor)), None):
            raise CheckpointError(
                f"{checkpoint.path}: {shown(other)} differs from {shown(source)}, --model {factory} ties them; give a "
                f"factory that does not tie them"
            )
        if not names.fits(name, tensor):
            raise CheckpointError(
                f"{checkpoint.path}: {shown(source)} has shape {tuple(tensor.shape)}, --model {factory} wants "
                f"{tuple(here.shape)}; give the factory of the model that was saved, built with the same sizes"
            )
        read = _finite if name in names.parameters else _floating
        found[name] = read(checkpoint, source) if here.is_floating_point() else tensor
    model.load_state_dict(found, assign=True, strict=False)  # every tensor is there; a module may have other state
    _tie(model, names.ties)
    return sorted(checkpoint.written(name) for name in set(checkpoint.tensors) - set(sources.values()))


def _own(model: nn.Module, names: Names, name: str, checkpoint: Checkpoint, factory: str) -> torch.Tensor:
    """Return the factory's own `num_batches_tracked` where the file lacks it, as torch does.

    Raises CheckpointError for any other tensor that the file lacks.
    """
    module, _, leaf = name.rpartition(".")
    if leaf == "num_batches_tracked" and isinstance(model.get_submodule(module), _NormBase):
        own = names.state[name]
        return torch.zeros_like(own, device="cpu") if own.is_meta else own
    what = name if name in names.parameters else f"the buffer {name}"
    advice = "" if name in names.parameters else "; a buffer that is no part of checkpoints has persistent=False"
    if all(map(str.isdecimal, checkpoint.tensors)):
        advice = "; these are places in a list, not names: save model.state_dict()"
    raise CheckpointError(
        f"{checkpoint.path} holds no tensor for {what} of --model {factory}; it holds "
        f"{listing(map(checkpoint.written, checkpoint.tensors))}{advice}{adapter_advice(checkpoint)}"
    )


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
        raise CheckpointError(
            f"{checkpoint.path}: {shown(name)} holds {bad} infinite value(s); the run diverged before it"
        )
    return tensor


def _floating(checkpoint: Checkpoint, name: str) -> torch.Tensor:
    tensor = checkpoint.tensors[name]
    if tensor.is_complex():
        raise CheckpointError(
            f"{checkpoint.path}: {shown(name)} is complex, and scalecurv takes real weights; save its real and "
            f"imaginary parts as two tensors"
        )
    return tensor if tensor.is_floating_point() else tensor.float()
