"""Checkpoints as tensors by name, from files of any format, without running code that is pickled in them."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalecurv.checkpoints.content import Content, canonical_names, fingerprint_of
from scalecurv.checkpoints.distributed import METADATA, is_distributed, read_distributed
from scalecurv.checkpoints.safetensors_file import read_safetensors
from scalecurv.checkpoints.sharded import index_of, is_shard, read_sharded, shards_of
from scalecurv.checkpoints.step import step_and_epoch
from scalecurv.checkpoints.torch_file import read_torch
from scalecurv.errors import CheckpointError
from scalecurv.record import FileStamp

_NARROW = re.compile("float[2-8]_")  # formats without arithmetic
TRAINER = "trainer_state.json"  # written by a Trainer beside the weights, with step and epoch


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by canonical name, on the CPU, with the step and epoch that the file or its name gives.

    `ordered` is True where `tensors` have the order in which the model listed them (safetensors files, and files
    converted from them, sort their names). `fingerprint` is that of the tensors, whatever wraps them in the file.
    """

    path: Path
    stamp: FileStamp
    tensors: Mapping[str, Tensor]
    ordered: bool
    step: int | None
    epoch: float | None
    fingerprint: str

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the stored weights."""
        return next(t.dtype for t in self.tensors.values() if t.is_floating_point())


def is_directory_checkpoint(folder: Path) -> bool:
    """Return True where a directory is a checkpoint, distributed or sharded; False where it may not be opened."""
    try:
        return is_distributed(folder) or index_of(folder) is not None
    except OSError:  # lost+found, another user's folder
        return False


def stamp_of(path: Path) -> FileStamp:
    """Return the present state of a checkpoint's files; raises CheckpointError where there are none."""
    try:
        if not path.is_dir():
            stat = os.stat(path)
            return FileStamp(
                str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino % 2**63
            )  # some file systems use all 64 bits
        stats = {file.name: os.stat(file) for file in _files_of(path)}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}); every worker must see this path") from error
    states = [f"{name} {s.st_size} {s.st_mtime_ns} {s.st_ino}" for name, s in stats.items()]
    identity = int.from_bytes(hashlib.sha256("\n".join(states).encode()).digest()[:8]) % 2**63
    newest = max((s.st_mtime_ns for s in stats.values()), default=0)
    return FileStamp(str(path), sum(s.st_size for s in stats.values()), newest, identity)


def load(path: Path, weights: str | None = None, ignore: str | None = None) -> Checkpoint:
    """Return one checkpoint, a file or a directory that is one.

    `weights` is the key of the mapping that holds the tensors, where a file has several; tensors in whose names the
    pattern `ignore` is found are left out.

    Raises CheckpointError, with a message of one line, where it cannot be read or used.
    """
    before = stamp_of(path)
    content = _content(path, weights)
    beside = _trainer_state(path if path.is_dir() else path.parent)
    if stamp_of(path) != before:
        raise CheckpointError(f"{path} changed while it was read; run again once it is written")
    renamed = canonical_names(content.weights)
    tensors = {renamed[name]: tensor.detach().resolve_conj().resolve_neg() for name, tensor in content.weights.items()}
    _check(path, tensors)
    facts = {**beside, **{str(name): fact for name, fact in content.facts.items()}}
    step, epoch = step_and_epoch(facts, path.name if path.is_dir() else path.stem, path.parent.name)
    return Checkpoint(path, before, tensors, content.ordered, step, epoch, fingerprint_of(tensors))


def _content(path: Path, key: str | None) -> Content:
    if path.is_dir():
        if is_distributed(path):
            return read_distributed(path, key)
        if index := index_of(path):
            return read_sharded(index, key)
        raise CheckpointError(f"{path} is a directory without {METADATA} or an index of shards: no checkpoint")
    if not path.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is no regular file; give one, or a directory that is a checkpoint")
    if is_shard(path):
        raise CheckpointError(
            f"{path} is one shard of several; give the directory, with the index (*.index.json) that names them all"
        )
    return read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path, key)


def _files_of(folder: Path) -> list[Path]:
    """Return the files that a directory checkpoint is read from, in the order of names."""
    if is_distributed(folder):
        return sorted(file for file in folder.iterdir() if file.is_file())
    index = index_of(folder)
    return sorted([index, *(shard for shard in shards_of(index) if shard.is_file())]) if index else []


def _trainer_state(folder: Path) -> dict[str, Any]:
    if not (folder / TRAINER).is_file():
        return {}
    try:
        content = json.loads((folder / TRAINER).read_text())
    except (OSError, ValueError, RecursionError):  # only step and epoch are lost, which the name may give
        return {}
    return content if isinstance(content, dict) else {}


def _check(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for tensors that cannot be computed with."""
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or _NARROW.search(str(tensor.dtype)):
            raise CheckpointError(
                f"{path}: {name} ({tensor.dtype}, {tensor.layout}, on {tensor.device}) is no dense tensor of plain "
                f"numbers; save it as one"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path}: {name} has {tensor.numel()} numbers and not as many in the file; save a copy"
            )
        plain = tensor.is_floating_point() or tensor.is_complex()
        if plain and bool(tensor.isnan().any()):  # infinities may be a mask, and are refused later in parameters only
            raise CheckpointError(
                f"{path}: {name} holds {int(tensor.isnan().sum())} NaN(s); the run diverged before it"
            )
    if not any(t.is_floating_point() for t in tensors.values()):
        raise CheckpointError(f"{path} holds no weights, no tensor of floating-point numbers; save model.state_dict()")
