"""The metadata of torch.distributed.checkpoint, a pickle that torch itself would run, read without running code."""

import io
import pickle
from enum import Enum
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import torch

from scalecurv.checkpoints.torch_file import UNREADABLE
from scalecurv.errors import CheckpointError, kind_and_line

DEEPEST = 32  # tuples within tuples: metadata has two or three
# metadata holds the path where it was saved; that is never used, so that paths of all systems become one class
_PATHS = [f"{module}.{kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")]
_METADATA_CLASSES = (
    "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
    "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
)  # fmt: skip


def _counted(load: Any, unpickler: "_Unpickler") -> None:
    load(unpickler)
    unpickler.nested()


_Python: Any = pickle._Unpickler  # the one written in Python, whose steps can be overridden


class _Unpickler(_Python):
    """An unpickler that knows the classes of metadata; it raises for other names."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)

    def __init__(self, file: io.BytesIO, path: Path):
        super().__init__(file)
        self._depths: dict[int, tuple[int, Any]] = {}
        self._path, self._known = path, known()

    def _build(self) -> None:
        """Set the state of an instance; refuse classes, enumerators and functions, which would stay changed."""
        made = self.stack[-2]
        if type(made) not in self._known.values() or isinstance(made, type | Enum):
            raise CheckpointError(
                f"{self._path} changes {getattr(made, '__name__', type(made).__name__)}, which is no part of a "
                f"checkpoint; the file is damaged, or made to harm"
            )
        self.load_build()

    def nested(self) -> None:
        """Count how deeply the last tuple is nested; raise CheckpointError for more than DEEPEST levels.

        Hashing a tuple that is nested without bound would crash the process.
        """
        held = self.stack[-1]
        depth = 1 + max((self._depths.get(id(item), (0, None))[0] for item in held), default=0)
        if depth > DEEPEST:
            raise CheckpointError(
                f"{self._path} nests more than {DEEPEST} tuples; the file is damaged, or made to harm"
            )
        self._depths[id(held)] = depth, held  # the reference keeps its id from being reused

    dispatch[pickle.BUILD[0]] = _build
    for _code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
        dispatch[_code[0]] = partial(_counted, _Python.dispatch[_code[0]])

    def find_class(self, module: str, name: str) -> Any:
        found = self._known.get(f"{module}.{name}")
        if found is None:
            raise CheckpointError(
                f"{self._path} names {module}.{name}, which is no part of a checkpoint and is never run; the file is "
                f"damaged, or made to harm"
            )
        return found


def known() -> dict[str, Any]:
    """Return the objects that metadata may name, by their full names."""
    from torch.distributed.checkpoint import (
        filesystem,
        metadata,
    )  # takes half a second that other formats save

    classes = {f"{metadata.__name__}.{name}": getattr(metadata, name) for name in _METADATA_CLASSES}
    dtypes = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
    return {
        **classes,
        **dtypes,
        "torch.distributed.checkpoint.filesystem._StorageInfo": filesystem._StorageInfo,
        "torch.Size": torch.Size,
        "torch.serialization._get_layout": torch.serialization._get_layout,
        "collections.OrderedDict": dict,
        **dict.fromkeys(_PATHS, PurePosixPath),
    }


def read_metadata(file: Path) -> Any:
    """Return the Metadata in a file; raises CheckpointError where the pickle names or does anything else."""
    try:
        found = _Unpickler(io.BytesIO(file.read_bytes()), file).load()
    except CheckpointError:
        raise
    except (*UNREADABLE, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{file} is no readable metadata: {kind_and_line(error)}; it may be cut short") from error
    if not hasattr(found, "state_dict_metadata"):
        raise CheckpointError(f"{file} holds a {type(found).__name__}, no metadata of a distributed checkpoint")
    return found
