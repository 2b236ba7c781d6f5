"""Files that torch.save wrote, read without running code that is pickled in them."""

import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from scalecurv.checkpoints.allowed import may_be_allowed
from scalecurv.checkpoints.content import WRAPPERS, Content, weights_of
from scalecurv.errors import CheckpointError, kind_and_line

LARGE = 1 << 30  # bytes; larger files are mapped, so that optimizer states beside the weights are never read
# what parsers raise on truncated, flipped and random files
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError, OSError,
    AssertionError, struct.error, ImportError, OverflowError,
)  # fmt: skip


def read_torch(path: Path, key: str | None = None) -> Content:
    """Return the weights of a state_dict, bare or inside a dict.

    `key` names the mapping that holds them, None the only one. Raises CheckpointError where there are none.
    """
    mapped = path.stat().st_size >= LARGE and zipfile.is_zipfile(path)  # torch maps no older files
    content = loaded(path, path, mapped)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; save model.state_dict()")
    try:
        weights, facts = weights_of(path, content, Tensor, key), dict(content)
    except (
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # a dict whose attributes hide its methods, or with endless keys
        raise CheckpointError(
            f"{path} holds a dict that is none ({kind_and_line(error)}); save model.state_dict()"
        ) from error
    if mapped:  # overwriting a mapped file changes the weights or kills the process, so the map is dropped at once
        weights = {name: tensor.clone() for name, tensor in weights.items()}
    return Content(weights, facts, list(weights) != sorted(weights))


def loaded(path: Path, file: Path | IO[bytes], mapped: bool = False) -> Any:
    """Return what torch.save wrote to `file`, which is `path` or a part of it.

    It may hold plain data and tensors only; raises CheckpointError for anything else.
    """
    try:
        # torch would warn with the advice weights_only=False, which runs what is pickled
        with warnings.catch_warnings(), torch.serialization.safe_globals([]):
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
    names = ", ".join(culprits[:3])
    if any(name.startswith("torch.nn.modules.") for name in culprits) and all(map(may_be_allowed, culprits)):
        return (
            f"{path} holds a whole module ({names}), which is code; if you trust it, for the first statement runs what "
            f"is pickled in it, convert it: m = torch.load({path.name!r}, weights_only=False){_key_of_module(file)}; "
            f"torch.save(m.state_dict(), {out!r})"
        )
    if culprits and all(map(may_be_allowed, culprits)):
        return (
            f"{path} holds {names}, which torch does not take for plain data; save model.state_dict() alone, or if you "
            f"know it for a class of plain data give {' '.join(f'--allow-global {name}' for name in culprits)}"
        )
    if culprits:
        return f"{path} holds pickled code ({names}), which is never run; save model.state_dict() instead"
    if isinstance(error, pickle.UnpicklingError):  # its message advises to run the pickle
        return f"{path} is no file that torch.save wrote, or it is damaged; save model.state_dict() with torch.save"
    return f"{path} is no readable checkpoint: {kind_and_line(error)}; it may be cut short"


def _culprits(file: Path | IO[bytes], message: str) -> list[str]:
    """Return the names in a pickle that are not plain data, without running it; [] if the error has another cause."""
    found = re.findall(r"GLOBAL (\S+)", message)
    try:
        if isinstance(file, Path):
            found = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except UNREADABLE:  # torch lists them for zip files only
        pass
    return sorted(set(found))


def _key_of_module(file: Path | IO[bytes]) -> str:
    """Return "['model']" where a dict holds the module under that key, else ""; the pickle is not run."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            operations = [
                (operation.name, argument) for operation, argument, _ in pickletools.genops(archive.read(pickled))
            ]
    except (StopIteration, zipfile.BadZipFile, *UNREADABLE):  # damaged, or written before torch used zip files
        return ""
    strings = {argument for name, argument in operations if "UNICODE" in name}
    key = next((key for key in WRAPPERS if key in strings), None)
    return f"[{key!r}]" if key and operations[1][0] == "EMPTY_DICT" else ""
