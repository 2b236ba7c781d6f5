"""Weights in several files with an index, as Hugging Face libraries save them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalecurv.checkpoints.content import Content
from scalecurv.checkpoints.safetensors_file import read_safetensors
from scalecurv.checkpoints.signature import refuse_foreign
from scalecurv.checkpoints.torch_file import read_torch
from scalecurv.display import listing, shown
from scalecurv.errors import CheckpointError

_INDICES = ("*.safetensors.index.json", "*.bin.index.json")  # the first that exists is read
LONGEST = 255  # characters of the name of a file
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def index_of(folder: Path) -> Path | None:
    """Return the index of the sharded checkpoint in `folder`, None where there is none."""
    return next((file for pattern in _INDICES for file in sorted(folder.glob(pattern)) if file.is_file()), None)


def is_shard(path: Path) -> bool:
    """Return True where a file is one of several by its name, as model-00001-of-00002."""
    return _SHARD.search(path.stem) is not None


def shards_of(index: Path) -> list[Path]:
    """Return the files that an index names; raises CheckpointError where it is no index, or names files elsewhere."""
    return sorted({index.parent / name for name in _weight_map(index).values()})


def read_sharded(index: Path) -> Content:
    """Return the tensors of all shards.

    Raises CheckpointError where a shard or a tensor of it is missing, or the shards hold tensors that the index does
    not name: it belongs to another checkpoint, and its names alone would be a smaller model.
    """
    content = _content(index)
    file_of, total = content["weight_map"], content.get("metadata")
    found: dict[str, Tensor] = {}
    for shard in shards_of(index):
        if not shard.is_file():
            raise CheckpointError(
                f"{index.parent}/{shown(shard.name)} is missing, {index.name} beside it names it; copy all shards"
            )
        refuse_foreign(shard)
        held = read_safetensors(shard) if shard.suffix == ".safetensors" else read_torch(shard)
        named = [name for name, file in file_of.items() if file == shard.name]
        if lacking := next((name for name in named if name not in held.weights), None):
            raise CheckpointError(
                f"{shard} holds no {shown(lacking)}, which {index.name} says it does; copy all shards and the index "
                f"again"
            )
        # metadata of safetensors name the tied tensors that were left out
        tied = [n for n in held.weights if shard.suffix == ".safetensors" and n in held.facts and n not in file_of]
        if stray := [name for name in held.weights if file_of.get(name) != shard.name and name not in tied]:
            raise CheckpointError(
                f"{shard} holds {listing(stray)}, which {index.name} does not name; copy the index of these shards"
            )
        found |= {name: held.weights[name] for name in (*named, *tied)}
    _check_size(index, total.get("total_size") if isinstance(total, dict) else None, found)
    return Content(found, {}, ordered=False)


def _check_size(index: Path, total: Any, found: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError where the index says that there are more or fewer bytes than the shards hold.

    Tied tensors may be counted once, or under each name.
    """
    plain = all(tensor.layout == torch.strided and not tensor.is_meta for tensor in found.values())
    if isinstance(total, bool) or not isinstance(total, int | float) or not plain:  # others are refused by name
        return
    each = sum(tensor.nbytes for tensor in found.values())
    once = sum({tensor.data_ptr(): tensor.nbytes for tensor in found.values()}.values())
    if total not in (each, once):
        raise CheckpointError(
            f"{index} says that its tensors have {shown(str(total))} bytes, and the shards hold {each}; copy the index "
            f"and all shards of one checkpoint"
        )


def _weight_map(index: Path) -> dict[str, str]:
    file_of: dict[str, str] = _content(index)["weight_map"]
    return file_of


def _content(index: Path) -> dict[str, Any]:
    """Return what an index holds; raises CheckpointError where it is none, or names files elsewhere."""
    try:
        content = json.loads(index.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{index} cannot be read as JSON: {error}; copy it again") from error
    file_of = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(file_of, dict) or not file_of or not all(isinstance(file, str) for file in file_of.values()):
        raise CheckpointError(f"{index} holds no weight_map of names and files; copy the index of the shards again")
    if outside := next((file for file in file_of.values() if Path(file).name != file or len(file) > LONGEST), None):
        raise CheckpointError(f"{index} names '{shown(outside)}'; shards must lie beside their index")
    return dict(content)
