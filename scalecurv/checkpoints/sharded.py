"""Weights in several files with an index, as Hugging Face libraries save them."""

import json
import re
from pathlib import Path

from scalecurv.checkpoints.content import Content
from scalecurv.checkpoints.safetensors_file import read_safetensors
from scalecurv.checkpoints.torch_file import read_torch
from scalecurv.errors import CheckpointError

_INDICES = ("*.safetensors.index.json", "*.bin.index.json")  # the first that exists is read
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


def read_sharded(index: Path, key: str | None = None) -> Content:
    """Return the tensors of all shards; raises CheckpointError where a shard, or a tensor of it, is missing."""
    file_of, found = _weight_map(index), {}
    for shard in shards_of(index):
        if not shard.is_file():
            raise CheckpointError(f"{shard} is missing, {index.name} beside it names it; copy all shards")
        content = read_safetensors(shard) if shard.suffix == ".safetensors" else read_torch(shard, key)
        for name in (name for name, file in file_of.items() if file == shard.name):
            if name not in content.weights:
                raise CheckpointError(f"{shard} holds no {name}, which {index.name} says it does")
            found[name] = content.weights[name]
    return Content(found, {}, ordered=False)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        content = json.loads(index.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{index} cannot be read as JSON: {error}") from error
    file_of = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(file_of, dict) or not file_of or not all(isinstance(file, str) for file in file_of.values()):
        raise CheckpointError(f"{index} holds no weight_map of names and files")
    if outside := next((file for file in file_of.values() if Path(file).name != file), None):
        raise CheckpointError(f"{index} names {outside!r}; shards must lie beside their index")
    return file_of
