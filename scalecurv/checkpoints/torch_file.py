"""A file that torch.save wrote, read without ever running what is pickled in it."""

import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from scalecurv.checkpoints.allowed import allowed_globals, may_be_allowed
from scalecurv.checkpoints.content import WRAPPERS, Content, line_of, weights_of
from scalecurv.errors import CheckpointError

LARGE = 1 << 30  # bytes from which on a file is mapped, so that optimizer states beside the weights are never read
# what parsers of foreign files raise on garbage, as seen on truncated, flipped and random files
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError, OSError,
    AssertionError, struct.error, ImportError, OverflowError,
)  # fmt: skip


def read_torch(path: Path, allow: Sequence[str] = ()) -> Content:
    """The weights of a state_dict, bare or wrapped; raises CheckpointError, and Misuse for what may not be allowed."""
    mapped = path.stat().st_size >= LARGE and zipfile.is_zipfile(path)  # torch maps no older files
    content = loaded(path, path, allow, mapped)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; save model.state_dict()")
    try:
        weights, facts = weights_of(path, content, Tensor), dict(content)
    except (
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # attributes over its methods, endless keys
        raise CheckpointError(
            f"{path} holds a dict that is none ({line_of(error)}); save model.state_dict()"
        ) from error
    if mapped:  # overwriting a file under a map changes the weights, or kills the process: not for longer than need be
        weights = {name: tensor.clone() for name, tensor in weights.items()}
    return Content(weights, facts, list(weights) != sorted(weights))


def loaded(path: Path, file: Path | IO[bytes], allow: Sequence[str] = (), mapped: bool = False) -> Any:
    """What torch.save put into `file`, part of `path` or itself: plain data, tensors, and objects of `allow` alone."""
    try:
        # torch advises weights_only=False, which would run what is pickled
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed_globals(allow))):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped or None)
    except UNREADABLE as error:
        raise CheckpointError(_reason(path, file, error)) from error


def _reason(path: Path, file: Path | IO[bytes], error: BaseException) -> str:
    out = f"{path.stem}-state.pt"
    if "TorchScript" in str(error):
        return (
            f"{path} is a TorchScript archive, which is code; if you trust it, convert it: "
            f"m = torch.jit.load({path.name!r}); torch.save(m.state_dict(), {out!r})"
        )
    culprits = _culprits(file, str(error))
    named = ", ".join(culprits[:3])
    if any(name.startswith("torch.nn.modules.") for name in culprits) and all(map(may_be_allowed, culprits)):
        return (
            f"{path} holds a whole module ({named}), which is code; if you trust it, for the first statement runs what "
            f"is pickled in it, convert it: m = torch.load({path.name!r}, weights_only=False){_key_of_module(file)}; "
            f"torch.save(m.state_dict(), {out!r})"
        )
    if culprits and all(map(may_be_allowed, culprits)):
        return (
            f"{path} holds {named}, which torch does not take for plain data; save model.state_dict() alone, or if you "
            f"know it for a class of plain data give {' '.join(f'--allow-global {name}' for name in culprits)}"
        )
    if culprits:
        return f"{path} holds pickled code ({named}), which is never run; save model.state_dict() instead"
    if isinstance(error, pickle.UnpicklingError):  # with torch's advice to run it, not worth repeating
        return f"{path} is no file that torch.save wrote, or it is damaged; save model.state_dict() with torch.save"
    return f"{path} is no readable checkpoint: {line_of(error)}; it may be cut short"


def _culprits(file: Path | IO[bytes], said: str) -> list[str]:
    """What the file names beyond plain data, nothing where it was refused for another reason; it is not run."""
    found = re.findall(r"GLOBAL (\S+)", said)
    try:
        if isinstance(file, Path):
            found = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except UNREADABLE:  # it reads zip files alone
        pass
    return sorted(set(found))


def _key_of_module(file: Path | IO[bytes]) -> str:
    """['model'] where a dict holds the module under such a name, else nothing; the pickle is looked at, not run."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            operations = [(operation.name, said) for operation, said, _ in pickletools.genops(archive.read(pickled))]
    except (StopIteration, zipfile.BadZipFile, *UNREADABLE):  # damaged, or older than zip files
        return ""
    strings = {said for name, said in operations if "UNICODE" in name}
    key = next((key for key in WRAPPERS if key in strings), None)
    return f"[{key!r}]" if key and operations[1][0] == "EMPTY_DICT" else ""
