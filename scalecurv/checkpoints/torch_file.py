"""The weights in files that torch.save, torch.jit.save or pickle wrote, which `scalecurv.pickles` reads as data."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.checkpoints.content import Content, weights_of
from scalecurv.display import shown, with_article
from scalecurv.errors import CheckpointError
from scalecurv.pickles.placeholder import Global, Placeholder
from scalecurv.pickles.read import LARGE, read_content

SMALL, OVERLAP = 64 << 20, 4  # bytes of tensors that one storage holds: these, or so many times its own
_LEVELS = 8  # containers within containers, in which tensors are looked for


def read_torch(path: Path, key: str | None = None) -> Content:
    """Return the weights of a state_dict or a module, bare or inside other containers.

    `key` names the mapping that holds them, None the only one. Arrays of NumPy count as tensors where a file has no
    others. Raises CheckpointError where there are none, or where the file cannot be read.
    """
    content = read_content(path, LARGE)
    if isinstance(content, tuple | list):  # (state_dict, state of the optimizer), ...
        content = {str(i): held for i, held in enumerate(content)}
    if not isinstance(content, Mapping):
        kind = content.name if isinstance(content, Placeholder) else type(content).__name__
        raise CheckpointError(f"{path} holds {with_article(shown(kind))}; save model.state_dict()")
    if _holds(content, np.ndarray) and not _holds(content, Tensor):
        arrays = weights_of(path, content, np.ndarray, key)
        weights = {n: _tensor_of(path, n, array) for n, array in arrays.items() if array.dtype.kind in "biufc"}
    else:
        weights = weights_of(path, content, Tensor, key)
        _check_places(path, content, weights)
    weights = _apart(path, weights)
    return Content(weights, dict(content), list(weights) != sorted(weights))


def _tensor_of(path: Path, name: str, array: np.ndarray) -> Tensor:
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise CheckpointError(
            f"{path} holds {shown(name)} as {array.dtype}, for which torch has no numbers; save it as float64"
        ) from error


def _apart(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors that share the memory of a file; names of one tensor share one copy.

    The tensors then no longer depend on the file: overwriting a mapped file changes tensors, or kills the process.
    Raises CheckpointError where many tensors overlap, and the copies would be far larger than the file.
    """
    strided = [tensor for tensor in weights.values() if tensor.layout == torch.strided]
    whole_storages = {held.data_ptr(): held.nbytes() for held in (tensor.untyped_storage() for tensor in strided)}
    left = max(SMALL, OVERLAP * sum(whole_storages.values()))
    copies: dict[Any, Tensor] = {}
    for name, tensor in weights.items():
        place = _place(name, tensor)
        if place not in copies:
            whole = tensor.layout != torch.strided or tensor.nbytes <= tensor.untyped_storage().nbytes()
            left -= tensor.nbytes if whole and tensor.layout == torch.strided else 0
            if left < 0:
                raise CheckpointError(
                    f"{path} holds tensors that overlap and are far larger than the file; save a copy of each"
                )
            copies[place] = tensor.clone() if whole else tensor  # an expanded one is refused later, by its name
    return {name: copies[_place(name, tensor)] for name, tensor in weights.items()}


def _place(name: str, tensor: Tensor) -> Any:
    """Return the identity of a tensor: its address, shape, strides and dtype; its name where it has no address."""
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.numel():
        return name
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.is_conj(), tensor.is_neg()


def _check_places(path: Path, content: Any, weights: Mapping[str, Any]) -> None:
    """Raise CheckpointError where another object stands in the place of a weight: a parameter would be missing."""
    for held in _containers(content):
        if not isinstance(held, Mapping) or not all(isinstance(held.get(name), Tensor) for name in weights):
            continue
        modules = {name.rpartition(".")[0] for name in weights if "." in name}
        for name, value in held.items():
            if not isinstance(name, str):
                continue
            module, _, leaf = name.rpartition(".")
            if isinstance(value, Placeholder | Global) and module in modules and leaf != "_extra_state":
                raise CheckpointError(
                    f"{path} holds a {shown(value.name)} under {shown(name)}, in the place of a tensor; it is damaged, "
                    f"or made to harm"
                )


def _holds(content: Any, kind: type) -> bool:
    """Return True where an instance of `kind` is in the containers of a content."""
    return any(isinstance(value, kind) for held in _containers(content) for value in _values(held))


def _values(held: Any) -> Collection[Any]:
    """Return what a container holds; nothing for anything else."""
    return held.values() if isinstance(held, Mapping) else held if isinstance(held, list | tuple) else ()


def _containers(content: Any) -> Iterator[Any]:
    """Yield a container and those in it, each once, level by level; those nested more deeply are left out."""
    level, seen = [content], {id(content)}
    for _ in range(_LEVELS):
        yield from level
        below = {
            id(value): value for held in level for value in _values(held) if isinstance(value, Mapping | list | tuple)
        }
        level = [value for place, value in below.items() if place not in seen]
        seen |= below.keys()
