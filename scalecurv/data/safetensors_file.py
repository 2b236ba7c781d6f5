"""Arrays of .safetensors files; those of large files are mapped."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from scalecurv.data.stored import Arrays, Stored, array_of, grouped, is_large

_DTYPES = {
    **{f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}


@contextmanager
def safetensors_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the tensors by name."""
    with safe_open(path, framework="np") as file:  # checks that header and length agree
        header = _header(path) if is_large(path) else {}
        yield grouped({name: partial(_named, path, file, name, header) for name in file.keys()})  # noqa: SIM118


def _named(path: Path, file: Any, name: str, header: dict[str, Any]) -> Stored:
    entry = header.get(name, {})
    if file.get_slice(name).get_dtype() not in (*_DTYPES, "BOOL"):  # bfloat16 and smaller floats
        with safe_open(path, framework="pt") as tensors:  # it maps the file
            return Stored.of(array_of(tensors.get_tensor(name).clone()))
    if entry.get("dtype") not in _DTYPES:
        return Stored.of(file.get_tensor(name))
    return Stored.mapped(path, entry["start"], tuple(entry["shape"]), _DTYPES[entry["dtype"]])


def _header(path: Path) -> dict[str, Any]:
    """Return the entry of each tensor in the header: dtype, shape, and `start`, the offset of its bytes in the file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    return {name: {**entry, "start": 8 + length + entry["data_offsets"][0]} for name, entry in entries.items()}
