"""Inputs of several parts: tuples, lists and dicts of arrays that have one row per sample."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Nested:
    """A container of arrays of equal length; an index selects rows of all of them, as of one array.

    `tree` is a tuple, a list or a dict of arrays, of None, or of more such containers. Leaves are tensors or NumPy
    arrays.

    Example:
        >>> import torch
        >>> pair = Nested({"ids": torch.zeros(4, 3), "mask": torch.ones(4)})
        >>> len(pair), pair[1:3].tree["ids"].shape
        (4, torch.Size([2, 3]))
    """

    tree: Any

    def __len__(self) -> int:
        return len(self.leaves[0])

    def __getitem__(self, rows: Any) -> "Nested":
        return self.map(lambda leaf: leaf[rows])

    @property
    def leaves(self) -> list[Any]:
        """The arrays, in the order of the container."""
        return [leaf for _, leaf in named_leaves(self.tree)]

    def map(self, function: Callable[[Any], Any]) -> "Nested":
        """Return the same container with function(leaf) in place of each array."""
        return Nested(_mapped(function, self.tree))

    def clone(self) -> "Nested":
        """Return a copy that shares no memory with this one."""
        return self.map(lambda leaf: leaf.clone())

    def numel(self) -> int:
        """Return the number of scalars in all leaves."""
        return sum(leaf.numel() for leaf in self.leaves)

    def is_floating_point(self) -> bool:
        """Return True where all leaves hold floats."""
        return all(leaf.is_floating_point() for leaf in self.leaves)

    def __repr__(self) -> str:
        return described(self)


Inputs = Tensor | Nested  # x of a batch: one array, or several


def is_container(data: Any) -> bool:
    """Return True for a dict, and for a tuple or list that holds arrays at some depth; False for a table of numbers.

    A tuple or list of numbers is a table too where they are scalars of NumPy or tensors without an axis.
    """
    if isinstance(data, Mapping):
        return True
    return isinstance(data, tuple | list) and any(
        part is None or getattr(part, "shape", ()) != () or isinstance(part, Mapping) or is_container(part)
        for part in data
    )


def named_leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a container by their place in it, as `[0]` or `['ids']`; None is no leaf."""
    if isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from named_leaves(part, f"{name}[{key!r}]")
    elif isinstance(tree, tuple | list):
        for i, part in enumerate(tree):
            yield from named_leaves(part, f"{name}[{i}]")
    elif tree is not None:
        yield name, tree


def mapped(function: Callable[[Any], Any], data: Any) -> Any:
    """Return function(data) of one array, a Nested of function(leaf) for a Nested."""
    return data.map(function) if isinstance(data, Nested) else function(data)


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):  # a namedtuple takes its fields one by one
        return type(tree)(*(_mapped(function, part) for part in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(_mapped(function, part) for part in tree)
    return None if tree is None else function(tree)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in whatever a module takes or returns: containers at any depth, dataclasses too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in vars(value).values():
            yield from tensors_in(part)


def leaves_of(data: Any) -> list[Any]:
    """Return the arrays in `data`: those of a Nested, or the one array that it is."""
    return data.leaves if isinstance(data, Nested) else [data]


def described(data: Any) -> str:
    """Return shapes and dtypes in words: "(8, 3) float32", or those of each part by its name."""
    if isinstance(data, Nested):
        return "{" + ", ".join(f"{name}: {described(leaf)}" for name, leaf in named_leaves(data.tree)) + "}"
    return f"{tuple(np.shape(data))} {str(getattr(data, 'dtype', type(data).__name__)).removeprefix('torch.')}"


def shape_of(data: Any) -> Any:
    """Return the shape of one array, the description of several."""
    return described(data) if isinstance(data, Nested) else tuple(np.shape(data))
