"""Directories of torch.distributed.checkpoint, whose weights are assembled from chunks."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalecurv.checkpoints.content import Content, weights_of
from scalecurv.checkpoints.metadata import Entry, Metadata, Part, read_metadata
from scalecurv.checkpoints.step import EPOCH_KEYS, STEP_KEYS
from scalecurv.display import kind_of, shown
from scalecurv.errors import CheckpointError, kind_and_line
from scalecurv.pickles.read import UNREADABLE, read_bytes

METADATA = ".metadata"


def is_distributed(folder: Path) -> bool:
    """Return True where a directory has the metadata of a distributed checkpoint and at least one part."""
    return (folder / METADATA).is_file() and any(folder.glob("*.distcp"))


def read_distributed(folder: Path, key: str | None = None) -> Content:
    """Return the weights of a checkpoint directory, each assembled from its chunks, with step and epoch.

    `key` names the mapping that holds them, None the only one. Raises CheckpointError where the metadata is none, or
    chunks do not fit.
    """
    metadata = read_metadata(folder / METADATA)
    try:
        nested: dict[Any, Any] = {}
        for name, entry in metadata.entries.items():
            _put(nested, metadata.paths.get(name, (name,)), entry)
        chosen = weights_of(folder, nested, Entry, key)
        weights = {name: _assembled(folder, entry, metadata.parts[entry.name]) for name, entry in chosen.items()}
        facts = {name: fact for name in (*STEP_KEYS, *EPOCH_KEYS) for fact in _facts(folder, metadata, name)}
    except CheckpointError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(f"{folder} is no readable distributed checkpoint: {kind_and_line(error)}") from error
    return Content(weights, facts, ordered=False)


def _facts(folder: Path, metadata: Metadata, name: str) -> list[Any]:
    """Return the number of that name, stored by itself or as a tensor, in a list that is empty where there is none."""
    parts, entry = metadata.parts.get(name, []), metadata.entries.get(name)
    if entry is None:
        return [read_bytes(folder, _bytes_of(folder, part)) for part in parts[:1]]
    return [_assembled(folder, entry, parts)] if math.prod(entry.size) == 1 else []


def _put(nested: dict[Any, Any], keys: Sequence[Any], leaf: Entry) -> None:
    for key in keys[:-1]:
        nested = nested.setdefault(key, {})
    nested[keys[-1]] = leaf


def _assembled(folder: Path, entry: Entry, parts: list[Part]) -> Tensor:
    """Return the whole tensor, assembled from its chunks, which must cover it."""
    files = sum(_size_of(folder, name) for name in {part.file for part in parts})
    declared = sum(part.length for part in parts)
    if math.prod(entry.size) * entry.dtype.itemsize > min(files, declared):  # before memory is taken
        raise ValueError(f"{entry.name} of shape {entry.size} has more numbers than its chunks have bytes")
    # NaN stays where no chunk is: chunks that overlap may have the right total of numbers and leave a gap
    gap = math.nan if entry.dtype.is_floating_point or entry.dtype.is_complex else 0
    whole = torch.full(entry.size, gap, dtype=entry.dtype)
    covered = 0
    for part in parts:
        chunk = read_bytes(folder, _bytes_of(folder, part))
        if not isinstance(chunk, Tensor):
            raise ValueError(f"a chunk of {entry.name} is {kind_of(chunk)}")
        corner = part.corner or (0,) * chunk.ndim
        whole[tuple(slice(a, a + n) for a, n in zip(corner, chunk.shape, strict=True))] = chunk
        covered += chunk.numel()
    if covered != math.prod(whole.shape):
        raise ValueError(f"{entry.name} has {covered} of {whole.numel()} numbers")
    return whole


def _size_of(folder: Path, name: str) -> int:
    """Return the bytes of a file of a checkpoint; raises ValueError or OSError where it is none."""
    if Path(name).name != name:
        raise ValueError(f"it names '{shown(name)}', outside its directory")
    if not (folder / name).is_file():
        raise FileNotFoundError(f"{shown(name)} is not there, or no regular file")
    return (folder / name).stat().st_size


def _bytes_of(folder: Path, part: Part) -> bytes:
    there = _size_of(folder, part.file)
    if part.packed:
        raise ValueError(f"its parts are stored as {', '.join(part.packed)}; save them as they are")
    if not 0 <= part.start <= part.start + part.length <= there:
        raise ValueError(f"{shown(part.file)} has {there} bytes, and the metadata wants some beyond")
    with open(folder / part.file, "rb") as file:
        file.seek(part.start)
        return file.read(part.length)
