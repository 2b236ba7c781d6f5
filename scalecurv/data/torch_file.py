"""Arrays of .pt files: tensors, NumPy arrays and lists of numbers in containers, and those of pickled data sets.

Nothing in a pickle is run. Files that are large are mapped.
"""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.data import stored
from scalecurv.data.stored import Arrays, Stored, array_of, grouped
from scalecurv.data.survey import Survey, arrays_of, dropped
from scalecurv.display import kind_of, shown
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.pickles.placeholder import Attributes, Placeholder
from scalecurv.pickles.read import read_content
from scalecurv.samples.forms import opened
from scalecurv.samples.nested import Nested, is_container
from scalecurv.samples.stream import Stream

TRANSFORMS = ("transform", "target_transform", "transforms")
FEW = 1 << 20  # entries of containers that a file of any size may hold


@contextmanager
def torch_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the tensors by key, those of a container in one of their own; x and y of a pair, a list or a data set.

    Raises Misuse for a file that holds none of these.
    """
    try:
        content = read_content(path, stored.LARGE + 1)
    except CheckpointError as error:
        reason = str(error).partition("; ")[0].replace("is no readable checkpoint", "cannot be read")
        raise Misuse(f"--data {reason}; save x and y with torch.save") from error
    _check_size(content, max(FEW, 4 * path.stat().st_size))
    try:
        content = _tensors(content)
        if not isinstance(content, Mapping):
            content = _samples(path, content)
        tree = {name: _tree(name, _tensors(part)) for name, part in _named(content).items()}
    except Misuse as error:
        message = str(error)
        raise Misuse(message if message.startswith("--data") else f"--data {path}: {message}") from error
    yield grouped(tree)


def _samples(path: Path, content: Any) -> dict[str, Any]:
    """Return x and y of a pair, or of the batches of a list, joined; raise Misuse for anything else."""
    if isinstance(content, Placeholder):
        raise Misuse(f"it holds an object of class {shown(content.name)}; save its tensors x and y")
    found = opened(content)
    if isinstance(found, Stream):
        survey = Survey.of(path, found, sys.maxsize)
        x, y = survey.joined(None, dropped(survey.held or deque()))
    else:
        x, y = found.x, found.y
    return {name: part.tree if isinstance(part, Nested) else part for name, part in (("x", x), ("y", y))}


def _tensors(part: Any) -> Any:
    """Return the tensors of a data set that was pickled, as a pair or by its attributes; anything else as it is.

    It may be a TensorDataset, a Subset of one, or one with tensors as attributes. Raises Misuse where it has a
    transform, for its samples are then other than its tensors.
    """
    if not isinstance(part, Attributes | Placeholder):
        return part
    held = part if isinstance(part, Attributes) else part.attributes
    if set_ := [name for name in TRANSFORMS if held.get(name) is not None]:
        raise Misuse(
            f"it holds a data set with a {set_[0]}, which is not run; save the tensors that it makes, or name the "
            f"function that makes it: --data PKG.MOD:FUNCTION"
        )
    if isinstance(held.get("tensors"), tuple | list):
        return tuple(held["tensors"])
    if {"dataset", "indices"} <= held.keys():
        whole = opened(_tensors(held["dataset"]))
        if isinstance(whole, Stream):
            raise Misuse("it holds a part of a data set that is no pair of tensors; save its tensors x and y")
        x, y = arrays_of(whole)
        rows = _numbers(held["indices"], len(x))
        return x[rows], y[rows]
    return held or part


def _numbers(indices: Any, most: int) -> np.ndarray:
    """Return row numbers that were pickled as a tensor, a list or a range; raise ValueError for more than `most`."""
    if isinstance(indices, Placeholder) and indices.name.endswith(".range") and len(indices.arguments) == 3:
        found = range(*map(int, indices.arguments))
        if len(found) > most:
            raise ValueError(f"a part of it has {len(found)} samples, and it has {most}")
        return np.asarray(found)
    return torch.as_tensor(indices).long().numpy()


def _tree(name: str, part: Any) -> Any:
    """Return a container with functions in it that return the arrays of its tensors, numbers and lists of numbers."""
    if isinstance(part, Nested):
        part = part.tree
    if isinstance(part, Mapping):
        return {key: _tree(f"{name}/{key}", inner) for key, inner in _named(part).items()}
    if is_container(part):
        return tuple(_tree(f"{name}/{i}", inner) for i, inner in enumerate(part))
    return None if part is None else partial(_of_value, name, part)


def _named(part: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping with its names as texts, each another one: "1 (2)" for the second of 1 and "1"."""
    named: dict[str, Any] = {}
    for name, inner in part.items():
        text = name if isinstance(name, str) else str(name) if isinstance(name, int | float) else shown(name)
        named[text if text not in named else f"{text} ({len(named) + 1})"] = inner
    return named


def _of_value(name: str, value: Any) -> Stored:
    if isinstance(value, np.ndarray):
        return Stored.of(value)
    if isinstance(value, Tensor | list | tuple | bool | int | float):
        return Stored.of(array_of(torch.as_tensor(value)))
    kind = f"an object of class {shown(value.name)}" if isinstance(value, Placeholder) else kind_of(value)
    raise ValueError(f"{shown(name)} is {kind}, no tensor")


def _check_size(content: Any, most: int) -> None:
    """Raise ValueError where containers hold themselves, or more entries than `most`, counted wherever they stand."""
    sizes: dict[int, int | None] = {}
    left: list[tuple[Any, bool]] = [(content, False)]
    while left:
        part, counted = left.pop()
        inner = list(part.values()) if isinstance(part, Mapping) else part
        if counted:
            total = 1 + sum(sizes.get(id(held)) or 1 for held in inner)
            if total > most:
                raise ValueError("its containers unpack to far more than its size")
            sizes[id(part)] = total
        elif id(part) not in sizes and isinstance(part, Mapping | tuple | list):
            sizes[id(part)] = None
            left.append((part, True))
            left += [(held, False) for held in inner if isinstance(held, Mapping | tuple | list)]
        elif id(part) in sizes and sizes[id(part)] is None:
            raise ValueError("it holds a container that holds itself")
