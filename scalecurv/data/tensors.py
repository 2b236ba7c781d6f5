"""Arrays of .pt files (tensors or lists of numbers, in dicts nested at most once) and of .safetensors files.

Those of large files are mapped.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from scalecurv.data.stored import Arrays, Stored, is_large

_DTYPES = {
    **{f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}


@contextmanager
def torch_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the tensors by key, those of a nested dict as KEY/x; no code in the pickle is run."""
    in_place = is_large(path) and zipfile.is_zipfile(path)  # files of torch before 1.6 cannot be mapped
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
    yield {name: partial(_of_tensor, value) for name, value in _flat(content)}


def _flat(content: Any) -> Iterator[tuple[str, Any]]:
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{inner}", held) for inner, held in value.items())
        else:
            yield str(name), value


def _of_tensor(value: Any) -> Stored:
    return Stored.of(torch.as_tensor(value).detach().numpy())


@contextmanager
def safetensors_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the tensors by name."""
    with safe_open(path, framework="np") as file:  # checks that header and length agree
        header = _header(path) if is_large(path) else {}
        yield {name: partial(_named, path, file, name, header) for name in file.keys()}  # noqa: SIM118


def _named(path: Path, file: Any, name: str, header: dict[str, Any]) -> Stored:
    entry = header.get(name, {})
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
