"""One array of samples from a tensor, an array or a table of numbers; one line says why anything else is refused."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.display import kind_of
from scalecurv.errors import Misuse, first_line
from scalecurv.samples.nested import Inputs, Nested, is_container, named_leaves

NUMBERS = "biuf"  # kinds of a NumPy dtype
ADVICE = "give one of floats or whole numbers"
SHOWN = 24  # characters of a string, entries of a list


def parts_of(value: Any, name: str) -> Any:
    """Return one array, or a Nested of the arrays in a container; tables and single numbers become NumPy arrays.

    Tensors and arrays are not copied. Raises Misuse that names anything else: a string, an image, None, a list of rows
    of different lengths.

    Example:
        >>> parts_of([[1.0, 2.0]], "x").shape, parts_of({"ids": torch.zeros(2, 3), "mask": None}, "x")
        ((1, 2), {['ids']: (2, 3) float32})
    """
    if isinstance(value, Nested):
        value = value.tree
    if not is_container(value):
        return _array(value, name)
    nested = Nested(_tree(value, name))
    if not any(True for _ in named_leaves(nested.tree)):
        raise Misuse(f"{name} is {kind_of(value)} that holds no array; {ADVICE}")
    return nested


def _tree(part: Any, name: str) -> Any:
    if isinstance(part, Mapping):
        return {key: _tree(held, f"{name}[{key!r}]") for key, held in part.items()}
    if is_container(part):
        held = [_tree(item, f"{name}[{i}]") for i, item in enumerate(part)]
        return type(part)(*held) if hasattr(part, "_fields") else type(part)(held)
    return None if part is None else _array(part, name)


def _array(value: Any, name: str) -> Any:
    """Return an array of real numbers; raise Misuse for anything else."""
    _refuse_strangers(value, name)
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
            raise Misuse(f"{name} is of {value.dtype}, {value.layout}; give a dense array of real numbers")
        return value
    if hasattr(value, "shape") and hasattr(value, "__getitem__") and not isinstance(value, np.generic):
        value = np.asarray(value) if hasattr(value, "iloc") else value  # a table of pandas is indexed by columns
        return _numbers(value, name)
    if isinstance(value, tuple | list) and (entry := _first_entry(value)) is not value:
        _refuse_strangers(entry, f"{name}, {kind_of(value)},", holds=True)
        if isinstance(entry, Tensor):  # numbers that are tensors without an axis
            return torch.stack([torch.as_tensor(part) for part in value])
    elif not isinstance(value, bool | int | float | np.generic | tuple | list):
        raise Misuse(f"{name} is {kind_of(value)}; give a tensor, an array or a number")
    try:
        return _numbers(np.array(value), name)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, Misuse):
            raise
        raise Misuse(f"{name} is no array of numbers ({first_line(error)}); {ADVICE}") from error


def _numbers(array: Any, name: str) -> Any:
    dtype = getattr(array, "dtype", None)
    kind = getattr(dtype, "kind", "f")
    if kind not in NUMBERS:
        held = {"c": "complex numbers", "O": "objects", "U": "strings", "S": "strings"}.get(kind, f"{dtype}")
        raise Misuse(f"{name} holds {held}, shape {tuple(array.shape)}; {ADVICE}")
    return array


def _first_entry(table: Any) -> Any:
    while isinstance(table, tuple | list) and len(table):
        table = table[0]
    return table


def _refuse_strangers(value: Any, name: str, holds: bool = False) -> None:
    """Raise Misuse for None, a string or an image; `holds` tells that `value` is an entry of what `name` names."""
    verb = "holds" if holds else "is"
    if value is None:
        raise Misuse(f"{name} {verb} None; {ADVICE}, one row a sample")
    if isinstance(value, str | bytes):
        raise Misuse(
            f"{name} {verb} a string, {value[:SHOWN]!r}; give numbers: the token ids of a tokenizer, or numbers of "
            f"classes{', or leave it out' * name.endswith(']')}"
        )
    if any(kind.__module__.startswith("PIL.") for kind in type(value).__mro__):
        raise Misuse(
            f"{name} {verb} an image of PIL; convert it, for example by numpy.asarray(image) or "
            f"torchvision.transforms.ToTensor()"
        )


def tensor_of(data: Any, name: str, mask: bool = False, exact: bool = False) -> Tensor:
    """Return a tensor that shares no memory with an array that is no tensor; integers become int64.

    True and False become 1 and 0, unless `mask` keeps them; `exact` keeps every dtype. Raises Misuse for no numbers.
    """
    try:
        tensor = data.detach() if isinstance(data, Tensor) else torch.from_numpy(_native(np.array(data)))
    except (TypeError, ValueError) as error:
        raise Misuse(f"{name} is no array of numbers ({first_line(error)}); {ADVICE}") from error
    return tensor if exact or tensor.is_floating_point() or (mask and tensor.dtype == torch.bool) else tensor.long()


def _native(array: np.ndarray) -> np.ndarray:
    """Return the array in the byte order of this machine, the only one that torch takes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def tensors_of(parts: Any, name: str, exact: bool = False) -> Inputs:
    """Return the arrays as tensors, integers as int64; in a container, boolean masks stay boolean."""
    if isinstance(parts, Nested):
        return parts.map(lambda leaf: tensor_of(leaf, name, True, exact))
    return tensor_of(parts, name, False, exact)


def num_rows(parts: Any, name: str) -> int:
    """Return the number of rows of one array, or of each array of a Nested; raise Misuse where they differ."""
    counts: dict[str, int] = {}
    for place, leaf in named_leaves(parts.tree if isinstance(parts, Nested) else {"": parts}):
        of = f"{name}{place}" if isinstance(parts, Nested) else name
        if not tuple(leaf.shape):
            raise Misuse(f"{of} is one number; give an array with one row a sample")
        counts[of] = len(leaf)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{of} has {count} rows" for of, count in counts.items())
        raise Misuse(f"{listed}; give each part one row a sample")
    return next(iter(counts.values()))


def stacked(items: list[Any]) -> Any:
    """Return the items as the rows of one tensor, or of a Nested of tensors."""
    first = items[0]
    if not isinstance(first, Nested):
        return torch.stack(items)
    columns = iter([torch.stack(list(column)) for column in zip(*(item.leaves for item in items), strict=True)])
    return first.map(lambda _: next(columns))


def form(parts: Any, rows: bool) -> tuple[Any, ...]:
    """Return place, shape and kind of each array, the same for all items of a data set; `rows` drops the first axis."""
    listed = named_leaves(parts.tree) if isinstance(parts, Nested) else [("", parts)]
    return tuple((place, tuple(leaf.shape)[rows:], _kind(leaf)) for place, leaf in listed)


def _kind(leaf: Tensor) -> str:
    return "floats" if leaf.is_floating_point() else "booleans" if leaf.dtype == torch.bool else "whole numbers"


def num_bytes(parts: Inputs) -> int:
    """Return the bytes that the numbers of all arrays take."""
    return sum(leaf.numel() * leaf.element_size() for leaf in (parts.leaves if isinstance(parts, Nested) else [parts]))
