"""Directories of torch.distributed.checkpoint, whose weights are assembled from chunks."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalecurv.checkpoints.content import Content, weights_of
from scalecurv.checkpoints.restricted import read_metadata
from scalecurv.checkpoints.step import EPOCH_KEYS, STEP_KEYS
from scalecurv.checkpoints.torch_file import UNREADABLE, loaded
from scalecurv.errors import CheckpointError, kind_and_line

METADATA = ".metadata"


def is_distributed(folder: Path) -> bool:
    """Return True where a directory has the metadata of a distributed checkpoint and at least one part."""
    return (folder / METADATA).is_file() and any(folder.glob("*.distcp"))


def read_distributed(folder: Path, key: str | None = None) -> Content:
    """Return the weights of a checkpoint directory, each assembled from its chunks, with step and epoch.

    Raises CheckpointError where the metadata names other things than parts of a checkpoint, or chunks do not fit.
    """
    metadata = read_metadata(folder / METADATA)
    try:
        entries = dict(metadata.state_dict_metadata)
        stored: dict[str, list[tuple[Any, Any]]] = {}
        for place, info in metadata.storage_data.items():
            stored.setdefault(place.fqn, []).append((place, info))
        paths: Mapping[str, Any] = metadata.planner_data or {}
        nested: dict[Any, Any] = {}
        for name, entry in entries.items():
            if hasattr(entry, "chunks"):
                _put(nested, paths.get(name, (name,)), _Entry(name, entry.size, entry.properties.dtype))
        chosen = weights_of(folder, nested, _Entry, key)
        weights = {name: _assembled(folder, entry, stored[entry.name]) for name, entry in chosen.items()}
        facts = {
            name: loaded(folder, io.BytesIO(_bytes_of(folder, info)))
            for name in (*STEP_KEYS, *EPOCH_KEYS)
            if not hasattr(entries.get(name, metadata), "chunks")
            for _, info in stored.get(name, [])[:1]
        }
    except CheckpointError:
        raise
    except (*UNREADABLE, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{folder} is no readable distributed checkpoint: {kind_and_line(error)}") from error
    return Content(weights, facts, ordered=False)


@dataclass(frozen=True)
class _Entry:
    """A tensor that is described by the metadata and not read yet."""

    name: str
    size: torch.Size
    dtype: torch.dtype


def _put(nested: dict[Any, Any], keys: Sequence[Any], leaf: _Entry) -> None:
    for key in keys[:-1]:
        nested = nested.setdefault(key, {})
    nested[keys[-1]] = leaf


def _assembled(folder: Path, entry: _Entry, stored: list[tuple[Any, Any]]) -> Tensor:
    """Return the whole tensor, assembled from its chunks, which must cover it."""
    if math.prod(entry.size) * entry.dtype.itemsize > sum(
        info.length for _, info in stored
    ):  # before memory is taken for it
        raise ValueError(f"{entry.name} of shape {tuple(entry.size)} has more numbers than its chunks have bytes")
    # NaN stays where no chunk is: chunks that overlap may have the right total of numbers and leave a gap
    whole = torch.full(entry.size, math.nan if entry.dtype.is_floating_point else 0, dtype=entry.dtype)
    covered = 0
    for place, info in stored:
        chunk = loaded(folder, io.BytesIO(_bytes_of(folder, info)))
        if not isinstance(chunk, Tensor):
            raise ValueError(f"a chunk of {entry.name} is a {type(chunk).__name__}")
        corner = tuple(place.offset or (0,) * chunk.ndim)
        whole[tuple(slice(a, a + n) for a, n in zip(corner, chunk.shape, strict=True))] = chunk
        covered += chunk.numel()
    if covered != math.prod(whole.shape):
        raise ValueError(f"{entry.name} has {covered} of {whole.numel()} numbers")
    return whole


def _bytes_of(folder: Path, info: Any) -> bytes:
    if Path(info.relative_path).name != info.relative_path:
        raise ValueError(f"it names {info.relative_path!r}, outside its directory")
    if getattr(info, "transform_descriptors", None):
        kinds = ", ".join(map(str, info.transform_descriptors))
        raise ValueError(f"its parts are stored as {kinds}; save them as they are")
    if not (folder / info.relative_path).is_file():
        raise FileNotFoundError(f"{info.relative_path} is not there, or no regular file")
    there = (folder / info.relative_path).stat().st_size
    if not 0 <= info.offset <= info.offset + info.length <= there:
        raise ValueError(f"{info.relative_path} has {there} bytes, and the metadata wants some beyond")
    with open(folder / info.relative_path, "rb") as file:
        file.seek(info.offset)
        return file.read(info.length)
