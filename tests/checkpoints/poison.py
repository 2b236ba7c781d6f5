"""Checkpoints that run code when they are read carelessly: each format that rests on pickles, with a payload in it."""

import contextlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import Metadata


class Payload:
    """Makes the directory `marker` when it is unpickled by anyone careless."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def file(path: Path, marker: Path) -> None:
    """A torch file, zip or not, with the payload beside its tensors."""
    old = path.read_bytes()[:2] != b"PK"
    content = {**torch.load(path, weights_only=False), "extra": Payload(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=not old)


def shard(path: Path, marker: Path) -> None:
    file(sorted(path.glob("*-of-*.bin"))[1], marker)


def _metadata(path: Path) -> Metadata:
    return dcp.FileSystemReader(path).read_metadata()


def metadata(path: Path, marker: Path) -> None:
    content = _metadata(path)
    content.planner_data = {**content.planner_data, "extra": Payload(marker)}
    (path / ".metadata").write_bytes(pickle.dumps(content))


def chunk(path: Path, marker: Path) -> None:
    """The payload where a tensor should be, metadata adjusted."""
    content = _metadata(path)
    name = next(place for place in content.storage_data if "weight" in place.fqn and "optim" not in place.fqn)
    info, buffer = content.storage_data[name], io.BytesIO()
    torch.save(Payload(marker), buffer)
    info.offset, info.length = (path / info.relative_path).stat().st_size, len(buffer.getvalue())
    with open(path / info.relative_path, "ab") as stored:
        stored.write(buffer.getvalue())
    (path / ".metadata").write_bytes(pickle.dumps(content))


def module(path: Path, marker: Path) -> None:
    model = torch.load(path, weights_only=False)
    model.extra = Payload(marker)
    torch.save(model, path)


def plain(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps({"model": Payload(marker)}))


def read_carelessly(path: Path) -> None:
    """As a script would that knows no better; whatever else it trips over."""
    if (path / ".metadata").is_file():
        for place, info in _metadata(path).storage_data.items():
            if "weight" in place.fqn:
                stored = (path / info.relative_path).read_bytes()[info.offset : info.offset + info.length]
                torch.load(io.BytesIO(stored), weights_only=False)
        return
    for part in sorted(path.glob("*-of-*.bin")) if path.is_dir() else [path]:
        with contextlib.suppress(RuntimeError):  # of a plain pickle it says so once it has run it
            torch.load(part, weights_only=False)


PICKLE_FREE = ("safetensors", "safetensors, a model", "sharded safetensors", "Hugging Face", "one shard of two")
WAYS: dict[str, tuple[Callable[[Path, Path], None], ...]] = {
    "sharded .bin": (shard,),
    **dict.fromkeys(("distributed", "distributed, bare"), (metadata, chunk)),
    "whole module": (module,),
    "plain pickle": (plain,),
    **dict.fromkeys(PICKLE_FREE, ()),
    "TorchScript": (),  # is itself code, and never opened
}


def ways_of(name: str) -> tuple[Callable[[Path, Path], None], ...]:
    """How a format can be poisoned: a torch file unless it is another, not at all where there is no pickle."""
    return WAYS.get(name, (file,))
