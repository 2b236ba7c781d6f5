"""A directory of torch.distributed.checkpoint: its metadata is a pickle, which torch itself would run."""

import io
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import torch
from torch import Tensor

from scalecurv.checkpoints.allowed import allowed_globals
from scalecurv.checkpoints.content import Content, line_of, weights_of
from scalecurv.checkpoints.step import EPOCH_KEYS, STEP_KEYS
from scalecurv.checkpoints.torch_file import UNREADABLE, loaded
from scalecurv.errors import CheckpointError

METADATA = ".metadata"
# where it was saved: nothing is done with it, so that a path of any system will do
_PATHS = [f"{module}.{kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")]
_METADATA_CLASSES = (
    "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
    "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
)  # fmt: skip


def is_distributed(folder: Path) -> bool:
    """Whether a directory has the metadata of such a checkpoint, and a part that it could speak of."""
    return (folder / METADATA).is_file() and any(folder.glob("*.distcp"))


def read_distributed(folder: Path, allow: Sequence[str] = ()) -> Content:
    """The weights of a checkpoint directory, each put together from its chunks, and the step; nothing else is read.

    Raises CheckpointError where the metadata names anything but the parts of a checkpoint, or chunks do not fit.
    """
    metadata = _metadata(folder / METADATA, allow)
    try:
        entries = dict(metadata.state_dict_metadata)
        stored: dict[str, list[tuple[Any, Any]]] = {}
        for place, info in metadata.storage_data.items():
            stored.setdefault(place.fqn, []).append((place, info))
        paths: Mapping[str, Any] = metadata.planner_data or {}
        nested: dict[Any, Any] = {}
        for name, entry in entries.items():
            if hasattr(entry, "chunks"):
                _put(nested, paths.get(name, (name,)), _Entry(name, entry.size, entry.properties.dtype))
        chosen = weights_of(folder, nested, _Entry)
        weights = {name: _assembled(folder, entry, stored[entry.name], allow) for name, entry in chosen.items()}
        facts = {
            name: loaded(folder, io.BytesIO(_bytes_of(folder, info)), allow)
            for name in (*STEP_KEYS, *EPOCH_KEYS)
            if not hasattr(entries.get(name, metadata), "chunks")
            for _, info in stored.get(name, [])[:1]
        }
    except CheckpointError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(f"{folder} is no readable distributed checkpoint: {line_of(error)}") from error
    return Content(weights, facts, ordered=False)


@dataclass(frozen=True)
class _Entry:
    """A tensor of which nothing is read yet."""

    name: str
    size: torch.Size
    dtype: torch.dtype


_Python: Any = pickle._Unpickler  # the one that is open to a look at every step


class _Unpickler(_Python):
    """Knows the classes that metadata is made of, and what the user allows; names everything else, and stops."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)

    def __init__(self, file: io.BytesIO, path: Path, allow: Sequence[str]):
        super().__init__(file)
        self._path, self._known = path, _known() | {name: found for found, name in allowed_globals(allow)}

    def _build(self) -> None:
        """Give a state to an instance: a class, an enumerator or a function would keep it after this file is read."""
        made = self.stack[-2]
        if type(made) not in self._known.values() or isinstance(made, type | Enum):
            raise CheckpointError(
                f"{self._path} changes {getattr(made, '__name__', type(made).__name__)}, which is no part of a "
                f"checkpoint; the file is damaged, or made to harm"
            )
        self.load_build()

    dispatch[pickle.BUILD[0]] = _build

    def find_class(self, module: str, name: str) -> Any:
        found = self._known.get(f"{module}.{name}")
        if found is None:
            raise CheckpointError(
                f"{self._path} names {module}.{name}, which is no part of a checkpoint and is never run; the file is "
                f"damaged, or made to harm"
            )
        return found


def _known() -> dict[str, Any]:
    from torch.distributed.checkpoint import filesystem, metadata  # half a second that other formats need not pay

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


def _metadata(file: Path, allow: Sequence[str]) -> Any:
    try:
        found = _Unpickler(io.BytesIO(file.read_bytes()), file, allow).load()
    except CheckpointError:
        raise
    except (*UNREADABLE, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{file} is no readable metadata: {line_of(error)}; it may be cut short") from error
    if not hasattr(found, "state_dict_metadata"):
        raise CheckpointError(f"{file} holds a {type(found).__name__}, no metadata of a distributed checkpoint")
    return found


def _put(nested: dict[Any, Any], keys: Sequence[Any], leaf: _Entry) -> None:
    for key in keys[:-1]:
        nested = nested.setdefault(key, {})
    nested[keys[-1]] = leaf


def _assembled(folder: Path, entry: _Entry, stored: list[tuple[Any, Any]], allow: Sequence[str]) -> Tensor:
    """The whole tensor from its chunks, which must cover it."""
    # NaN where no chunk comes: overlapping ones may add up
    whole = torch.full(entry.size, math.nan if entry.dtype.is_floating_point else 0, dtype=entry.dtype)
    covered = 0
    for place, info in stored:
        chunk = loaded(folder, io.BytesIO(_bytes_of(folder, info)), allow)
        if not isinstance(chunk, Tensor):
            raise ValueError(f"a chunk of {entry.name} is a {type(chunk).__name__}")
        corner = tuple(place.offset or (0,) * chunk.ndim)
        whole[tuple(slice(a, a + n) for a, n in zip(corner, chunk.shape, strict=True))] = chunk
        covered += chunk.numel()
    if covered != math.prod(whole.shape):
        raise ValueError(f"{entry.name} has {covered} of {whole.numel()} numbers")
    return whole


def _bytes_of(folder: Path, info: Any) -> bytes:
    if Path(info.relative_path).name != info.relative_path:
        raise ValueError(f"it names {info.relative_path!r}, outside its directory")
    if getattr(info, "transform_descriptors", None):
        kinds = ", ".join(map(str, info.transform_descriptors))
        raise ValueError(f"its parts are stored as {kinds}; save them as they are")
    with open(folder / info.relative_path, "rb") as file:
        file.seek(info.offset)
        return file.read(info.length)
