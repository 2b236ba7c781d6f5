"""Files of torch: the zip files of today, the plain files of torch before 1.6, and the bytes that pickles embed."""

import io
from collections.abc import Callable
from typing import Any

import torch

from scalecurv.pickles.archive import Archive
from scalecurv.pickles.arrays import array_builders, array_makers
from scalecurv.pickles.machine import Machine, Maker
from scalecurv.pickles.placeholder import Budget, Global, Placeholder, Unreadable
from scalecurv.pickles.plain import plain_makers
from scalecurv.pickles.tensors import LARGEST, Storage, dtypes, storage_dtypes, storage_of, tensor_makers

MAGIC = 0x1950A86A20F9469CFC6C  # begins files of torch before 1.6
_ARCHIVED = "torch.storage._load_from_bytes"  # how plain pickles hold storages: as such a file each


def machine(stored: Callable[[Any], Any], budget: Budget, nested: bool = False) -> Machine:
    """Return a machine that knows all kinds of plain data; `nested` is True within a storage of a plain pickle."""
    makers: dict[str, Maker] = {**plain_makers(budget), **array_makers(budget)}
    makers.update(tensor_makers(budget, makers))
    if not nested:
        makers[_ARCHIVED] = lambda arguments: _embedded(budget, arguments)
    makers.update({f"torch.jit._pickle.{name}": _first for name in ("restore_type_tag", *_LISTS)})
    return Machine(dtypes(), makers, array_builders(budget), stored, budget)


_LISTS = tuple(f"build_{kind}list" for kind in ("int", "tensor", "double", "bool"))  # how TorchScript tells lists


def _first(arguments: tuple[Any, ...]) -> Any:
    return arguments[0]


def no_storage(identity: Any) -> Any:
    """Return a placeholder for an object that a plain pickle stores elsewhere, where only its writer finds it."""
    return Placeholder("a persistent id", (identity,))


def of_archive(archive: Archive, budget: Budget) -> Any:
    """Return the content of a zip file."""
    found: dict[tuple[str, Any], Storage] = {}

    def stored(identity: Any) -> Any:
        kind, key, _, count = _identity(identity, 5)
        name = str(key)
        if (name, kind) not in found:
            found[name, kind] = archive.storage(f"data/{name}", kind, _nbytes(kind, count))
        return found[name, kind]

    return machine(stored, budget).load(io.BytesIO(archive.record("data.pkl")))


def of_legacy(source: Any, view: memoryview, budget: Budget, nested: bool = False) -> Any:
    """Return the content of a file of torch before 1.6.

    `view` holds all bytes of the file, and `source` stands behind the magic number.

    The storages lie behind the pickle that uses them, so it is read twice: for their sizes, and for the content.
    """
    sizes: dict[str, tuple[torch.dtype | None, int]] = {}

    def declared(identity: Any) -> Any:
        if _is_class(identity):
            return identity[1]
        kind, key, _, count, _ = _identity(identity, 6)
        sizes[str(key)] = kind, _nbytes(kind, count)
        return Placeholder("torch.UntypedStorage")

    reader = machine(declared, budget, nested)
    protocol, system = reader.load(source), reader.load(source)
    if protocol != 1001 or (type(system) is dict and system.get("little_endian") is False):
        raise Unreadable("was written by a torch of another kind, or is damaged; save it again with a newer torch")
    begin = source.tell()
    _, keys = reader.load(source), reader.load(source)
    if type(keys) is not list or {str(key) for key in keys} != sizes.keys():
        raise Unreadable("does not hold the storages that its pickle names; it is damaged")
    found, place = {}, source.tell()
    for key in map(str, keys):
        kind, size = sizes[key]
        found[key] = _behind(view, place, kind, size, budget)
        place += 8 + size

    def stored(identity: Any) -> Any:
        if _is_class(identity):
            return identity[1]
        kind, key, _, _, part = _identity(identity, 6)
        if part is None:
            return found[str(key)]
        _, start, length = part
        first, last = _nbytes(kind, start), _nbytes(kind, start) + _nbytes(kind, length)
        if last > found[str(key)].content.nbytes():
            raise Unreadable("holds a part of a storage beyond its end; it is damaged")
        return Storage(found[str(key)].content[first:last], kind, budget)

    source.seek(begin)
    return machine(stored, budget, nested).load(source)


def _is_class(identity: Any) -> bool:
    """Return True for a class of a module whose source was saved too, as torch did before 1.6."""
    return type(identity) is tuple and len(identity) > 1 and identity[0] == "module"


def _behind(view: memoryview, place: int, kind: torch.dtype | None, size: int, budget: Budget) -> Storage:
    """Return the storage at `place`, where the number of its items comes first."""
    count = int.from_bytes(view[place : place + 8], "little")
    content = view[place + 8 : place + 8 + size]
    if len(content) != size or count * (1 if kind is None else kind.itemsize) != size:
        raise Unreadable(f"has {len(content)} of {size} bytes of a storage; it is damaged or cut short")
    return storage_of(content, kind, budget)


def _embedded(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return the storage in the bytes that a plain pickle gives for one."""
    if len(arguments) != 1 or not isinstance(arguments[0], bytes | str):
        return NotImplemented
    content = arguments[0].encode("latin-1") if isinstance(arguments[0], str) else arguments[0]
    budget.spend(2 * len(content))
    source = io.BytesIO(content)
    if machine(no_storage, budget, nested=True).load(source) != MAGIC:
        raise Unreadable("holds a storage in a form that torch did not write; it is damaged")
    return of_legacy(source, source.getbuffer(), budget, nested=True)


def _identity(identity: Any, length: int) -> list[Any]:
    """Return (dtype, key, location, number of items, ...) of a storage; raises Unreadable where it is none."""
    if type(identity) is not tuple or len(identity) != length or identity[0] not in ("storage", b"storage"):
        raise Unreadable("names a part that is no storage; it is damaged, or made to harm")
    kind = identity[1].name if type(identity[1]) is Global else None
    if kind not in storage_dtypes() or type(identity[2]) not in (str, int):
        raise Unreadable("names a part that is no storage; it is damaged, or made to harm")
    return [storage_dtypes()[kind], *identity[2:]]


def _nbytes(dtype: torch.dtype | None, count: Any) -> int:
    if type(count) is not int or not 0 <= count < LARGEST:
        raise Unreadable("declares a storage of no size; it is damaged, or made to harm")
    return count * (1 if dtype is None else dtype.itemsize)
