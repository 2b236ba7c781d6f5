"""What readers of files agree on: weights by the names in the file, and what it says of itself."""

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
OUTER = ("state", "app")  # in which trainers, and the recipes of distributed checkpoints, keep it beside the optimizer


T = TypeVar("T")


@dataclass(frozen=True)
class Content:
    """`weights` as the file names them, `facts` such as its step; `ordered` if they stand as the model listed them."""

    weights: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    ordered: bool


def weights_of(path: Path, content: Mapping[Any, Any], leaf: type[T]) -> dict[str, T]:
    """The tensors of a state_dict, or of the one that a training loop wrapped with its counters.

    A tensor is whatever is a `leaf`. Raises CheckpointError where there are none.
    """
    outer = [content[k] for k in OUTER if isinstance(content.get(k), Mapping)]
    wrapped = (held[k] for held in (content, *outer) for k in WRAPPERS if isinstance(held.get(k), Mapping))
    inside = next((w for w in wrapped if any(isinstance(value, leaf) for value in w.values())), content)
    tensors = {str(name): value for name, value in inside.items() if isinstance(value, leaf)}
    if not tensors:
        held = ", ".join(str(k) for k in list(content)[:6])
        raise CheckpointError(f"{path} holds no tensors (its keys: {held}); save model.state_dict()")
    return tensors


def line_of(error: BaseException) -> str:
    """The first line of what a library says, with the kind of the error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


PREFIXES = ("module.", "_orig_mod.", "state_dict.", "model.", "net.")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as given -> its canonical name: wrappers' prefixes that every name carries are stripped."""
    given = list(names)
    stripped = given
    while prefix := next((p for p in PREFIXES if stripped and all(n.startswith(p) for n in stripped)), None):
        stripped = [name.removeprefix(prefix) for name in stripped]
    return dict(zip(given, stripped, strict=True))


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over (name, dtype, shape, bytes) of every tensor, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def fingerprint_of_arrays(**arrays: np.ndarray) -> str:
    """The same of NumPy arrays by name."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
