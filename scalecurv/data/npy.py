"""Arrays of .npy files of one directory; nothing is unpickled, and large files are mapped."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from scalecurv.data.holdings import holdings
from scalecurv.data.roles import NAMED, PARTS
from scalecurv.data.stored import Arrays, Stored, grouped, is_large
from scalecurv.errors import Misuse
from scalecurv.samples.pairs import INPUTS, TARGETS

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True)
class Header:
    """Shape, order and dtype of an array, and the bytes before its first number."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @classmethod
    def read(cls, name: str, stream: IO[bytes], size: int) -> "Header":
        """Return the header of an array of `size` bytes with it; raise ValueError where they do not agree."""
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{name} is of version {version[0]}.{version[1]}; save numbers by numpy.savez")
        shape, fortran, dtype = _HEADERS[version](stream)
        start = stream.tell()
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
        if size != start + math.prod(shape) * dtype.itemsize:  # else a damaged shape could ask for all memory
            raise ValueError(f"{name} has {size - start} bytes, not those of shape {shape}")
        return cls(shape, fortran, dtype, start)


@contextmanager
def npy_arrays(folder: Path) -> Iterator[Arrays]:
    """Yield the arrays of the .npy files of a folder by their names, those of the folders in it as FOLDER/NAME."""
    parts = {file.relative_to(folder).with_suffix("").parts: file for file in npy_files(folder)}
    yield grouped({"/".join(names): partial(_array, file) for names, file in parts.items()})


def npy_files(folder: Path) -> list[Path]:
    """Return the .npy files of a folder and of the folders in it, SPLIT/x/PART at the deepest, without hidden ones."""
    found = [file for pattern in ("*.npy", "*/*.npy", "*/*/*.npy") for file in sorted(folder.glob(pattern))]
    return [f for f in found if f.is_file() and not any(n.startswith(".") for n in f.relative_to(folder).parts)]


@contextmanager
def npy_pair(path: Path) -> Iterator[Arrays]:
    """Yield x of a file such as x_train.npy and y of y_train.npy beside it; raises Misuse where there is no such file.

    The second has the name of the first, with a name of targets in the place of that of inputs.
    """
    beside = {file.stem.lower(): file for file in sorted(path.parent.glob("*.npy")) if file.is_file()}
    role = next((role for role in sorted((*INPUTS, *PARTS), key=len, reverse=True) if _holds(path.stem, role)), None)
    if role is None:
        raise Misuse(f"--data {path} may be inputs or targets; {NAMED['x']}, and give the directory, {path.parent}")
    wanted = [path.stem.lower().replace(role, name, 1) for name in TARGETS]
    found = [beside[name] for name in wanted if name in beside]
    if not found:
        there = holdings({file.name: partial(_array, file) for file in beside.values()})
        raise Misuse(f"--data {path} has no {wanted[0]}.npy beside it; {path.parent} holds {there}; {NAMED['y']}")
    yield {"x": partial(_array, path), "y": partial(_array, found[0])}


def _holds(stem: str, role: str) -> bool:
    lower = stem.lower()
    return lower == role or lower.startswith(f"{role}_") or lower.endswith(f"_{role}")


def _array(path: Path) -> Stored:
    with path.open("rb") as stream:
        header = Header.read(path.name, stream, path.stat().st_size)
    if is_large(path):
        return Stored.mapped(path, header.start, header.shape, header.dtype, header.fortran)
    return Stored.of(np.load(path, allow_pickle=False))
