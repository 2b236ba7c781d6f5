"""The data that the loss is taken over, as NumPy arrays x and y from one file."""

import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from scalecurv.errors import Misuse

SUFFIXES = (".npz", ".pt", ".safetensors", ".h5")
_UNREADABLE = (
    OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AssertionError, zipfile.BadZipFile,
    zlib.error, struct.error, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """x of shape (N, ...) and y of shape (N, ...), of `available` samples that the source has."""

    x: np.ndarray
    y: np.ndarray
    available: int


def load_data(source: Path | str, split: str | None = None, max_samples: int | None = None, seed: int = 0) -> Data:
    """x of shape (N, ...) and y of shape (N,) or (N, D); raises Misuse, in one line, where the file has none."""
    path = Path(source)
    if not path.is_file():
        raise Misuse(f"--data {path} does not exist; give a file with arrays x and y ({', '.join(SUFFIXES)})")
    if path.suffix not in SUFFIXES:
        raise Misuse(f"--data {path} is of no known kind; give {', '.join(SUFFIXES)} with arrays x and y")
    try:
        arrays = _READERS[path.suffix](path)
    except KeyError as error:
        raise Misuse(f"--data {path} has no array {error.args[0]}; it must hold x (N, ...) and y") from error
    except pickle.UnpicklingError as error:  # torch advises to run what is pickled; it is not repeated
        raise Misuse(
            f"--data {path} holds more than tensors, or is damaged; nothing pickled is ever run: save tensors x and y"
        ) from error
    except _UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), repr(error))
        raise Misuse(f"--data {path} cannot be read: {reason}") from error
    x, y = (_native(np.ascontiguousarray(arrays[name])) for name in ("x", "y"))
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise Misuse(f"--data {path}: {name} holds {array.dtype}; give real numbers of at most 64 bits")
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or len(x) == 0:
        raise Misuse(
            f"--data {path}: x has shape {x.shape} and y has shape {y.shape}; give one target a sample, "
            f"x (N, ...) and y (N,) or (N, D)"
        )
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Misuse(f"--data {path}: {name} holds {int((~np.isfinite(array)).sum())} NaN or infinite value(s)")
    return Data(x, y, len(x))


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: _present(file, name)[...] for name in ("x", "y")}


def _pt(path: Path) -> dict[str, np.ndarray]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    return {name: torch.as_tensor(_present(content, name)).detach().numpy() for name in ("x", "y")}


def _h5(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r", locking=False) as file:
        return {name: _present(file, name)[...] for name in ("x", "y")}


def _native(array: np.ndarray) -> np.ndarray:
    """In this machine's byte order, the only one that torch knows."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _present(container, name: str):  # type: ignore[no-untyped-def]
    if name not in container:
        raise KeyError(name)
    return container[name]


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    content = load_file(path)
    return {name: _present(content, name) for name in ("x", "y")}


_READERS = {".npz": _npz, ".pt": _pt, ".safetensors": _safetensors, ".h5": _h5}
