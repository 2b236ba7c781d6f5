"""The content of pickled files as plain data: it replaces `torch.load`, and runs nothing."""

import io
import mmap
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from scalecurv.errors import CheckpointError, kind_and_line
from scalecurv.pickles.archive import Archive
from scalecurv.pickles.modules import with_plain_dicts
from scalecurv.pickles.placeholder import Budget, Unreadable
from scalecurv.pickles.storages import MAGIC, machine, no_storage, of_archive, of_legacy
from scalecurv.pickles.torchscript import is_torchscript, state_of_script

LARGE = 1 << 30  # bytes; larger files are mapped, so that what is not used is never read
# what decoding raises on truncated, flipped and random files
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError, OSError,
    AssertionError, struct.error, ImportError, OverflowError, zipfile.BadZipFile, zlib.error, MemoryError,
)  # fmt: skip
_LEAST, _RATIO = 64 << 20, 100  # a file may unpack to 64 MiB, or to a hundred times its size
_OTHERS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
T = TypeVar("T")


def read_content(path: Path, large: int = LARGE) -> Any:
    """Return the content of a file of torch.save, torch.jit.save or pickle: tensors, arrays, numbers, text, containers.

    Nothing that the file names is imported or called: an instance of any other class is a Placeholder, a module is its
    state_dict. Tensors are on the CPU. Files of `large` bytes or more are mapped, so their tensors must be copied
    before anybody writes to the file.

    Raises CheckpointError, with a message of one line, where the file is damaged, of another kind, or made to harm.

    Example:
        >>> import pickle, tempfile, pathlib, argparse, torch
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.pt"
        >>> torch.save({"w": torch.ones(2), "args": argparse.Namespace(rate=0.1), "loss": torch.nn.MSELoss}, path)
        >>> read_content(path)
        {'w': tensor([1., 1.]), 'args': {'rate': 0.1}, 'loss': <global torch.nn.modules.loss.MSELoss>}
    """
    return guarded(path, lambda: _content(_opened(path, large)))


def read_bytes(path: Path, content: bytes) -> Any:
    """Return the content of a part of `path`, which torch.save or pickle wrote there; raises as `read_content` does."""
    return guarded(path, lambda: _content(io.BytesIO(content)))


def guarded(path: Path, read: Callable[[], T]) -> T:
    """Return what `read` returns; raises CheckpointError in the place of any error of decoding."""
    try:
        with warnings.catch_warnings():  # of strings that are escaped wrongly, and of dtypes that torch calls a trial
            warnings.simplefilter("ignore")
            return read()
    except Unreadable as error:
        raise CheckpointError(f"{path} {error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit into memory, or declares more than it holds") from error
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path} is no readable checkpoint: {kind_and_line(error)}; it may be cut short"
        ) from error


def _opened(path: Path, large: int) -> IO[bytes] | mmap.mmap:
    with open(path, "rb") as file:
        if path.stat().st_size >= large:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return io.BytesIO(file.read())


def _content(source: Any) -> Any:
    """Return the content of an open file, in memory (BytesIO) or mapped."""
    view = source.getbuffer() if isinstance(source, io.BytesIO) else memoryview(source)
    head = bytes(view[:512])
    budget = Budget(max(_LEAST, _RATIO * len(view)))
    if head[:2] == b"PK":
        archive = Archive(source, view, budget)
        content = of_archive(archive, budget)
        return state_of_script(archive, content) if is_torchscript(archive) else with_plain_dicts(content)
    if not head:
        raise Unreadable("is empty; write it again")
    if head[257:262] == b"ustar":
        raise Unreadable("is a tar archive, and no checkpoint of torch 0.2 or newer; unpack it, or save it again")
    for magic, kind in _OTHERS.items():
        if head.startswith(magic):
            raise Unreadable(f"is packed with {kind}; unpack it first")
    return with_plain_dicts(_of_pickles(source, view, budget))


def _of_pickles(source: Any, view: memoryview, budget: Budget) -> Any:
    """Return the content of a plain pickle, or of a file of torch before 1.6, which begins with a pickled number."""
    try:
        first = machine(no_storage, budget).load(source)
    except Unreadable:
        raise
    except UNREADABLE as error:  # what any other kind of file raises
        raise Unreadable(
            "is no file that torch.save wrote, or it is damaged; save model.state_dict() with torch.save"
        ) from error
    return of_legacy(source, view, budget) if type(first) is int and first == MAGIC else first
