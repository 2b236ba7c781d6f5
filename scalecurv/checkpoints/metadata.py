"""The metadata of torch.distributed.checkpoint: the tensors, and the bytes that hold their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scalecurv.display import shown, with_article
from scalecurv.errors import CheckpointError
from scalecurv.pickles.placeholder import Placeholder
from scalecurv.pickles.read import read_content

_PLACE = "torch.distributed.checkpoint.metadata"


@dataclass(frozen=True)
class Entry:
    """A tensor that the metadata describes, and that is not read yet."""

    name: str
    size: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Part:
    """The bytes of a part of an entry: `length` from `start` in a file of the directory.

    `corner` is the index of its first number in the whole tensor, None for the origin; `packed` names the transforms of
    the bytes, such as a compression.
    """

    corner: tuple[int, ...] | None
    file: str
    start: int
    length: int
    packed: tuple[str, ...]


@dataclass(frozen=True)
class Metadata:
    """The entries and their parts by name; `paths` are the keys under which a tensor lies in the nested content.

    Numbers and text have parts and no entry.
    """

    entries: Mapping[str, Entry]
    parts: Mapping[str, list[Part]]
    paths: Mapping[str, Sequence[Any]]


def read_metadata(file: Path) -> Metadata:
    """Return the metadata in a file; raises CheckpointError where it is none, without running what it names."""
    content = read_content(file)
    tensors = content.get("state_dict_metadata") if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        kind = content.name if isinstance(content, Placeholder) else type(content).__name__
        raise CheckpointError(
            f"{file} holds {with_article(shown(kind))}, no metadata of a distributed checkpoint; copy the "
            f"directory again"
        )
    entries = {
        str(name): Entry(str(name), _shape(file, held.attributes.get("size")), _dtype(file, held))
        for name, held in tensors.items()
        if isinstance(held, Placeholder) and held.name == f"{_PLACE}.TensorStorageMetadata"
    }
    parts: dict[str, list[Part]] = {}
    stored, paths = content.get("storage_data"), content.get("planner_data")
    for place, info in stored.items() if isinstance(stored, dict) else ():
        name, part = _part(file, place, info)
        parts.setdefault(name, []).append(part)
    named = paths.items() if isinstance(paths, dict) else ()
    return Metadata(entries, parts, {str(name): keys for name, keys in named if isinstance(keys, tuple) and keys})


def _shape(file: Path, size: Any) -> tuple[int, ...]:
    if not isinstance(size, tuple) or not all(type(n) is int and n >= 0 for n in size):
        raise CheckpointError(f"{file} describes a tensor without a shape; it is damaged")
    return tuple(size)


def _dtype(file: Path, held: Placeholder) -> torch.dtype:
    properties = held.attributes.get("properties")
    state = properties.state if isinstance(properties, Placeholder) else None
    values = state.values() if isinstance(state, dict) else state if isinstance(state, tuple) else ()
    found = next((value for value in values if isinstance(value, torch.dtype)), None)
    if found is None:
        raise CheckpointError(f"{file} describes a tensor without a dtype; it is damaged")
    return found


def _part(file: Path, place: Any, info: Any) -> tuple[str, Part]:
    """Return the name of an entry, and one of its parts."""
    if not (isinstance(place, Placeholder) and isinstance(info, Placeholder)):
        raise CheckpointError(f"{file} has no list of the parts of its tensors; it is damaged")
    where, kept = place.attributes, info.attributes
    name, corner = where.get("fqn"), where.get("offset")
    path, packed = kept.get("relative_path"), kept.get("transform_descriptors") or ()
    start, length = kept.get("offset"), kept.get("length")
    if not (isinstance(name, str) and isinstance(path, str) and isinstance(start, int) and isinstance(length, int)):
        raise CheckpointError(f"{file} names a part of a tensor without a place; it is damaged")
    others = tuple(map(shown, packed)) if isinstance(packed, list | tuple) else (shown(packed),)
    return name, Part(None if corner is None else _shape(file, corner), path, start, length, others)
