"""Checkpoints as tensors by name, from files of any format, without running code that is pickled in them."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalecurv.checkpoints.content import Content, fingerprint_of, weights_of
from scalecurv.checkpoints.distributed import METADATA, is_distributed, read_distributed
from scalecurv.checkpoints.names import canonical_names, ignored, ignoring
from scalecurv.checkpoints.safetensors_file import read_safetensors
from scalecurv.checkpoints.sharded import index_of, is_shard, read_sharded, shards_of
from scalecurv.checkpoints.signature import refuse_foreign
from scalecurv.checkpoints.step import step_and_epoch
from scalecurv.checkpoints.torch_file import read_torch
from scalecurv.display import listing, shown
from scalecurv.errors import CheckpointError
from scalecurv.record import FileStamp

_NARROW = re.compile("float[2-8]_")  # formats without arithmetic
TRAINER = "trainer_state.json"  # written by a Trainer beside the weights, with step and epoch


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by canonical name, on the CPU, with the step and epoch that the file or its name gives.

    `ordered` is True where `tensors` have the order in which the model listed them (safetensors files, and files
    converted from them, sort their names). `fingerprint` is that of the tensors, whatever wraps them in the file.
    `names` are the names in the file by canonical name.
    """

    path: Path
    stamp: FileStamp
    tensors: Mapping[str, Tensor]
    ordered: bool
    step: int | None
    epoch: float | None
    fingerprint: str
    names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def written(self, name: str) -> str:
        """Return the name that the file has for a tensor, as --ignore searches it."""
        return self.names.get(name, name)

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


def stamp_of(path: Path, weights: str | None = None, ignore: str | None = None) -> FileStamp:
    """Return the present state of a checkpoint's files; raises CheckpointError where there are none.

    Another choice of tensors (`weights`, `ignore`) makes another content of the same files, and is part of the state.
    """
    try:
        if not path.is_dir():
            stat = os.stat(path)
            size, newest, identity = stat.st_size, stat.st_mtime_ns, stat.st_ino % 2**63  # some systems use all 64 bits
        else:
            stats = {file.name: os.stat(file) for file in _files_of(path)}
            states = "\n".join(f"{name} {s.st_size} {s.st_mtime_ns} {s.st_ino}" for name, s in stats.items())
            size, identity = sum(s.st_size for s in stats.values()), _number(states)
            newest = max((s.st_mtime_ns for s in stats.values()), default=0)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}); every worker must see this path") from error
    if weights is not None or ignore is not None:
        identity = _number(json.dumps([identity, weights, ignore]))
    return FileStamp(str(path), size, newest, identity)


def _number(text: str) -> int:
    """Return a number that stands for a text, in the range of inodes."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:8]) % 2**63


def load(path: Path, weights: str | None = None, ignore: str | None = None) -> Checkpoint:
    """Return one checkpoint, a file or a directory that is one.

    `weights` is the key of the mapping that holds the tensors, where a file has several; tensors in whose names in the
    file the pattern `ignore` is found are left out.

    Raises CheckpointError, with a message of one line, where it cannot be read or used; Misuse where `ignore` is no
    pattern.
    """
    before = stamp_of(path, weights, ignore)
    content = _content(path, weights)
    beside = _trainer_state(path if path.is_dir() else path.parent)
    if stamp_of(path, weights, ignore) != before:
        raise CheckpointError(f"{path} changed while it was read; run again once it is written")
    kept = {n: t for n, t in content.weights.items() if ignore is None or not ignored(ignore).search(n)}
    if not kept:
        held = listing(content.weights)
        raise CheckpointError(f"--ignore '{shown(ignore or '')}' leaves no tensor of {path}, which holds {held}")
    renamed = canonical_names(kept, str(path))
    tensors = {renamed[name]: tensor.detach().resolve_conj().resolve_neg() for name, tensor in kept.items()}
    _check(path, tensors, {canonical: name for name, canonical in renamed.items()})
    facts = {**beside, **{name: fact for name, fact in content.facts.items() if isinstance(name, str)}}
    step, epoch = step_and_epoch(facts, path.name if path.is_dir() else path.stem, path.parent.name)
    names = {canonical: name for name, canonical in renamed.items() if canonical != name}
    return Checkpoint(path, before, tensors, content.ordered, step, epoch, fingerprint_of(tensors), names)


def _content(path: Path, key: str | None) -> Content:
    if path.is_dir():
        if is_distributed(path):
            return read_distributed(path, key)
        if index := index_of(path):
            return _below(path, read_sharded(index), key)
        raise CheckpointError(
            f"{path} is a directory without {METADATA} or an index of shards, so it is no checkpoint; give a file, or "
            f"a directory that holds checkpoints"
        )
    if not path.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is no regular file; give one, or a directory that is a checkpoint")
    if is_shard(path):
        raise CheckpointError(
            f"{path} is one shard of several; give the directory, with the index (*.index.json) that names them all"
        )
    refuse_foreign(path)
    if path.suffix != ".safetensors":
        return read_torch(path, key)
    return _below(path, read_safetensors(path), key)


def _below(path: Path, content: Content, key: str | None) -> Content:
    """Return a content of the tensors below `key` alone; formats without nested mappings have it in their names."""
    return content if key is None else replace(content, weights=weights_of(path, content.weights, Tensor, key))


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


def _check(path: Path, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Raise CheckpointError for tensors that cannot be computed with; `names` are those in the file."""
    for name, tensor in tensors.items():
        layer = name.rpartition(".")[2] in ("weight", "bias")  # others may be of a metric or a loss
        rest = "" if layer else f"; if the model does not use it, {ignoring([names[name]])}"
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or _NARROW.search(str(tensor.dtype)):
            raise CheckpointError(
                f"{path}: {shown(name)} ({tensor.dtype}, {tensor.layout}, on {tensor.device}) is no dense tensor of "
                f"plain numbers; save it as one{rest}"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path}: {shown(name)} has {tensor.numel()} numbers and not as many in the file; save a copy"
            )
        plain = tensor.is_floating_point() or tensor.is_complex()
        if plain and bool(tensor.isnan().any()):  # infinities may be a mask, and are refused later in parameters only
            raise CheckpointError(
                f"{path}: {shown(name)} holds {int(tensor.isnan().sum())} NaN(s); the run diverged before it{rest}"
            )
    if not any(t.is_floating_point() for t in tensors.values()):
        raise CheckpointError(f"{path} holds no weights, no tensor of floating-point numbers; save model.state_dict()")
