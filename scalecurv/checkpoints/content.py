"""The content that the readers of all formats return, its weights, and the fingerprint of tensors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from scalecurv.checkpoints.mappings import chosen

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

    Instances of `leaf` count as tensors. `key` leads to the mapping that holds them, as --weights gives it. Raises
    CheckpointError where there are none, or several mappings hold some.
    """
    return dict(chosen(path, content, leaf, key))


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over (name, dtype, shape, bytes) of every tensor, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode("utf-8", "backslashreplace"))
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
