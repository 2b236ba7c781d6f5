"""One file as named tensors: read without ever running what is pickled in it."""

import os
import pickle
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scalecurv.checkpoints.fingerprint import fingerprint_of
from scalecurv.checkpoints.names import canonical_names
from scalecurv.checkpoints.step import step_and_epoch
from scalecurv.errors import CheckpointError
from scalecurv.record import FileStamp

WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "net", "weights", "params")
# what parsers of foreign files raise on garbage, as seen on truncated, flipped and random files
_UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, LookupError, TypeError, ValueError,
    AttributeError, OSError, AssertionError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by canonical name, on the CPU, and what the file says of itself.

    `ordered` tells whether the order of `tensors` is the order in which the model listed them (a safetensors
    file sorts its names, and so does what was converted from one). `fingerprint` is that of the tensors,
    whatever they were wrapped in.
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
        """The dtype that the weights rest in."""
        return next(t.dtype for t in self.tensors.values() if t.is_floating_point())


def stamp_of(path: Path) -> FileStamp:
    """The state of a file now; raises CheckpointError where it is gone."""
    try:
        stat = os.stat(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}); every worker must see this path") from error
    return FileStamp(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino % 2**63)  # some systems use all 64 bits


def load(path: Path, allow: Sequence[str] = ()) -> Checkpoint:
    """Read one checkpoint; raises CheckpointError, in one line, for whatever cannot be read or used."""
    before = stamp_of(path)
    content, metadata = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if stamp_of(path) != before:
        raise CheckpointError(f"{path} changed while it was read; run again once it is written")
    tensors = _state_dict(path, content)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or "float8" in str(tensor.dtype):
            raise CheckpointError(
                f"{path}: {name} ({tensor.dtype}, {tensor.layout}, on {tensor.device}) is no dense tensor of plain "
                f"numbers; save it as one"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(f"{path}: {name} holds {count} NaN or infinite value(s); the run diverged before it")
    if not any(t.is_floating_point() for t in tensors.values()):
        raise CheckpointError(f"{path} holds no weights; save model.state_dict()")
    step, epoch = step_and_epoch(metadata, path.stem, path.parent.name)
    ordered = path.suffix != ".safetensors" and list(tensors) != sorted(tensors)
    return Checkpoint(path, before, tensors, ordered, step, epoch, fingerprint_of(tensors))


def _safetensors(path: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # copied, for what is read is a map of the file: overwriting it would change the weights, or kill us
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {_line(error)}") from error
    # safetensors.torch.save_model leaves out a tied tensor and says here which one stands for it
    tied = {gone: tensors[kept] for gone, kept in metadata.items() if kept in tensors}
    return {**tied, **tensors}, metadata


def _torch(path: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    try:
        with warnings.catch_warnings():  # torch advises weights_only=False, which would run what is pickled
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if culprits := _culprits(path, str(error)):
            raise CheckpointError(
                f"{path} holds pickled code ({culprits}), which is never run; save model.state_dict() instead"
            ) from error
        if isinstance(error, pickle.UnpicklingError):  # with torch's advice to run it, not worth repeating
            raise CheckpointError(f"{path} is no file that torch.save wrote, or it is damaged") from error
        raise CheckpointError(f"{path} is no readable checkpoint: {_line(error)}; it may be cut short") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; save model.state_dict()")
    return dict(content), content


def _state_dict(path: Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state_dict, or of the one that a training loop wrapped with its counters."""
    wrapped = (content[k] for k in WRAPPERS if isinstance(content.get(k), Mapping))
    inside = next((w for w in wrapped if any(isinstance(value, Tensor) for value in w.values())), content)
    tensors = {str(name): value for name, value in inside.items() if isinstance(value, Tensor)}
    if not tensors:
        held = ", ".join(str(k) for k in list(content)[:6])
        raise CheckpointError(f"{path} holds no tensors (its keys: {held}); save model.state_dict()")
    renamed = canonical_names(tensors)
    return {renamed[name]: tensor.detach().resolve_conj() for name, tensor in tensors.items()}


def _culprits(path: Path, said: str) -> str:
    """What the file would have run, nothing where it was refused for another reason."""
    if "TorchScript" in said:
        return "a TorchScript archive"
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except _UNREADABLE:  # it reads zip files alone
        unsafe = re.findall(r"GLOBAL (\S+)", said)
    return ", ".join(sorted(unsafe)[:3])


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
