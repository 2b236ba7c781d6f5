"""The content that readers of all formats return, the names of weights, and fingerprints."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import CheckpointError

WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "net", "weights", "params")
OUTER = ("state", "app")  # trainers and recipes of distributed checkpoints put the model here, beside the optimizer


T = TypeVar("T")


@dataclass(frozen=True)
class Content:
    """The content of a file: `weights` by their names in it, and `facts` such as the step.

    `ordered` is True where the names are in the model's order.
    """

    weights: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    ordered: bool


def weights_of(path: Path, content: Mapping[Any, Any], leaf: type[T], key: str | None = None) -> dict[str, T]:
    """Return the tensors of a state_dict, or of one inside the dict that a training loop saved.

    Instances of `leaf` count as tensors. `key` names the mapping that holds them. Raises CheckpointError where there are none.
    """
    outer = [content[k] for k in OUTER if isinstance(content.get(k), Mapping)]
    wrapped = (held[k] for held in (content, *outer) for k in WRAPPERS if isinstance(held.get(k), Mapping))
    inside = next((w for w in wrapped if any(isinstance(value, leaf) for value in w.values())), content)
    tensors = {str(name): value for name, value in inside.items() if isinstance(value, leaf)}
    if not tensors:
        held = ", ".join(str(k) for k in list(content)[:6])
        raise CheckpointError(f"{path} holds no tensors (its keys: {held}); save model.state_dict()")
    return tensors


PREFIXES = ("module.", "_orig_mod.", "state_dict.", "model.", "net.")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name with its canonical name: prefixes of wrappers that all names share are stripped."""
    given = list(names)
    stripped = given
    while prefix := next((p for p in PREFIXES if stripped and all(n.startswith(p) for n in stripped)), None):
        stripped = [name.removeprefix(prefix) for name in stripped]
    return dict(zip(given, stripped, strict=True))


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over (name, dtype, shape, bytes) of every tensor, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def fingerprint_of_arrays(**arrays: np.ndarray) -> str:
    """Return the sha256 over (name, dtype, shape, bytes) of every NumPy array, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
