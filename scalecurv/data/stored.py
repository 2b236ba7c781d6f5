"""Arrays in files, whose shape and dtype are known before any of their rows are read."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from scalecurv.samples.nested import Nested, named_leaves

LARGE = 1 << 28  # bytes; larger files are mapped into memory instead of read, where their format allows it
Rows = np.ndarray | None  # ascending row numbers, or None for all rows
NUMPY = ("float16", "float32", "float64")  # the floats that NumPy knows too
# errors by which the libraries of the formats refuse a file
UNREADABLE = (
    OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AssertionError, zipfile.BadZipFile,
    zlib.error, struct.error, SafetensorError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """An array in a file; `take(rows)` reads the chosen rows, or all of them for None."""

    shape: tuple[int, ...]
    dtype: np.dtype
    take: Callable[[Rows], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Stored":
        """Return an array that is in memory already, or mapped into it."""
        return cls(array.shape, array.dtype, lambda rows: array if rows is None else array[rows])

    @classmethod
    def mapped(
        cls, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype, fortran: bool = False
    ) -> "Stored":
        """Return a map of the bytes of `path` from `offset` on, which are read from the disk at their first use.

        A file that is truncated in place under its map kills the process (SIGBUS), which nothing can catch; a file
        that another replaces by a rename is safe. Smaller files are therefore read whole.
        """
        order = "F" if fortran else "C"
        return cls.of(np.asarray(np.memmap(path, dtype, "r", offset, shape, order)))  # type: ignore[call-overload]


# arrays by their names in a file, those of groups in mappings of their own; nothing is read before it is used
Arrays = Mapping[str, Any]


def array_of(tensor: Tensor) -> np.ndarray:
    """Return a NumPy array of the numbers of a dense tensor: exactly, floats that NumPy lacks as float32.

    Memory is shared where the dtype stays. Raises TypeError where the tensor holds other than real numbers, as sparse
    and quantized ones do.
    """
    tensor = tensor.detach().cpu()
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise TypeError(f"a tensor of {tensor.dtype}, {tensor.layout}, is no dense array")
    if tensor.is_floating_point() and str(tensor.dtype).removeprefix("torch.") not in NUMPY:
        once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in tensor.stride())
        tensor = tensor[once].float().expand(tensor.shape)  # what repeats stays stored once
    array: np.ndarray = tensor.resolve_neg().numpy()
    return array


def grouped(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return names with slashes as mappings in mappings; a group of the names 0, 1, ... is a tuple.

    Example:
        >>> grouped({"y": 1, "x/ids": 2, "test/x/0": 3, "test/x/1": 4})
        {'y': 1, 'x': {'ids': 2}, 'test': {'x': (3, 4)}}
    """
    tree: dict[str, Any] = {}
    for full, held in flat.items():
        *groups, name = full.split("/")
        level = tree
        for group in groups:
            inner = level.setdefault(group, {})
            level = inner if isinstance(inner, dict) else level.setdefault(f"{group}/", {})
        level[name] = held
    return {name: _in_order(part) for name, part in tree.items()}


def _in_order(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    inside = {name: _in_order(held) for name, held in part.items()}
    numbers = [str(i) for i in range(len(inside))]
    return tuple(inside[i] for i in numbers) if inside and inside.keys() == set(numbers) else inside


def by_name(x: Any, y: Any) -> dict[str, Any]:
    """Return the arrays of inputs and targets by name: "x", or "x['ids']" and so on where they are several.

    Example:
        >>> list(by_name(Nested(({"ids": 1}, 2)), 3))
        ["x[0]['ids']", 'x[1]', 'y']
    """
    parts = (("x", x), ("y", y))
    return {
        f"{name}{place}": leaf
        for name, part in parts
        for place, leaf in (named_leaves(part.tree) if isinstance(part, Nested) else [("", part)])
    }


def rows_within(rows: Rows, start: int, length: int) -> Rows:
    """Return those of the ascending `rows` that lie in a part of `length` rows from `start` on, counted from its start.

    Example:
        >>> rows_within(np.array([1, 4, 7]), 3, 5), rows_within(None, 3, 5)
        (array([1, 4]), None)
    """
    return None if rows is None else rows[slice(*np.searchsorted(rows, (start, start + length)))] - start


def is_large(path: Path) -> bool:
    """Return True where the file is mapped rather than read."""
    return path.stat().st_size > LARGE
