"""Sealed files decoded to tables: checked before HDF5 sees them, each content once."""

import errno
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from scalecurv.errors import Misuse, StoreError
from scalecurv.store.frames import Tables, frame_of
from scalecurv.store.image import SEAL, SEAL_LENGTH, seal_of
from scalecurv.store.schema import ADDED, ADDED_TABLES, LABELS, OLDEST, TABLES, VERSION

TRIES = 5  # attempts to read a file that is being replaced
KEPT = 128  # contents whose tables stay in memory: a sweep reads its parts again and again, twice as many as MANY
SMALL = 1 << 18  # bytes of a content that is kept; parts are smaller, and an index that is larger is read in full
_DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
)  # what h5py raises on damaged files


class BrokenFile(StoreError):
    """A file of the store that cannot be read whole; it is set aside, never deleted."""


def decode(source: Path) -> Tables:
    """Return the tables of one file, each of which is read at its first use.

    Raises BrokenFile for damage, Misuse for a file of a newer release, StoreError where it cannot be read now. The
    seal is checked before HDF5 sees a byte: on damaged metadata HDF5 can loop for ever.
    """
    try:
        content = _bytes_of(source)
    except FileNotFoundError:
        raise
    except OSError as error:
        # too many open files, no permission: the file may be whole, so it must not be set aside
        kind = BrokenFile if error.errno in (errno.EIO, errno.EISDIR) else StoreError
        raise kind(f"{source} cannot be read ({error.strerror})") from error
    image, seal = memoryview(content)[:-SEAL_LENGTH], content[-SEAL_LENGTH:]
    if not seal.startswith(SEAL):
        raise BrokenFile(f"{source} is no scalecurv file, or it was cut short")
    if seal != seal_of(image):
        raise BrokenFile(f"{source} is damaged (its content does not match its checksum)")
    return _Image(source, content)


def _bytes_of(source: Path) -> bytes:
    """Return the content of a file; where it is replaced while it is opened (ESTALE on NFS), of its replacement."""
    for _ in range(TRIES):
        try:
            return source.read_bytes()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))


@dataclass
class _Decoded:
    """The schema version of a content, 0 before it is checked, and those of its tables that were read."""

    version: int = 0
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


@lru_cache(KEPT)
def _decoded(seal: bytes) -> _Decoded:
    """Return the one record of the content that has this seal, whatever file holds it."""
    return _Decoded()


class _Image(Mapping[str, pd.DataFrame]):
    """The tables of one sealed file, each read once."""

    def __init__(self, source: Path, content: bytes):
        self._source, self._content = source, content
        self._known = _decoded(content[-SEAL_LENGTH:]) if len(content) <= SMALL else _Decoded()
        self._known.version = self._known.version or self._checked()

    def _checked(self) -> int:
        """Return the schema version of a file that has all tables and columns of that version."""
        try:
            with h5py.File(io.BytesIO(self._content), "r") as file:
                version = int(file.attrs["schema_version"])
                if version <= VERSION:
                    _check_columns(file, version)
        except _DAMAGE as error:
            raise BrokenFile(f"{self._source} is no file of results ({error})") from error
        if not OLDEST <= version <= VERSION:
            raise Misuse(
                f"{self._source} has schema {version}, this release reads {OLDEST} to {VERSION}; "
                f"upgrade scalecurv to read it"
            )
        return version

    def __getitem__(self, name: str) -> pd.DataFrame:
        tables, version = self._known.tables, self._known.version
        if name not in tables:
            columns = TABLES[name]
            try:
                with h5py.File(io.BytesIO(self._content), "r") as file:
                    there = version >= ADDED_TABLES.get(name, 0)
                    tables[name] = _read_table(file[name], name, version) if there else frame_of({}, columns)
            except _DAMAGE as error:
                raise BrokenFile(f"{self._source} has no table {name} that can be read ({error})") from error
        return tables[name].copy(deep=False)  # no caller's new column shows elsewhere

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def _check_columns(file: h5py.File, version: int) -> None:
    """Raise LookupError where a sealed file lacks a table or a column: this program did not write it."""
    for name, columns in TABLES.items():
        if version < ADDED_TABLES.get(name, 0):
            continue
        missing = {column.name for column in columns} - _absent(name, version) - set(file[name])
        if missing:
            raise LookupError(f"table {name} has no column {min(missing)}")


def _absent(table: str, version: int) -> set[str]:
    """Return the columns of a table that files of this schema version do not have."""
    return {column for (name, column), (since, _) in ADDED.items() if name == table and version < since}


def _read_table(group: h5py.Group, name: str, version: int) -> pd.DataFrame:
    if group[TABLES[name][0].name].shape == (0,):  # half of the tables of a part
        return frame_of({}, TABLES[name])
    data: dict[str, Any] = {}
    # the first schema stored every text column whole
    labels = pd.Index(group[LABELS].asstr()[...], dtype=object) if version > 1 else None
    absent = _absent(name, version)
    for column in TABLES[name]:
        if column.name in absent:
            continue
        dataset = group[column.name]
        if column.kind == "array":
            flat, edges = dataset[...], group["offset"][...]
            data[column.name] = [flat[a:b] for a, b in pairwise(edges)]
        elif column.kind != "text":
            data[column.name] = dataset[...]
        elif labels is None:
            data[column.name] = list(dataset.asstr()[...])
        else:
            data[column.name] = pd.Categorical.from_codes(dataset[...], labels)
    lengths = {name: len(values) for name, values in data.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    rows = next(iter(lengths.values()))
    data |= {column: [ADDED[name, column][1]] * rows for column in absent}
    return frame_of(data, TABLES[name])
