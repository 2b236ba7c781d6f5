"""Tables encoded as the bytes of an HDF5 file and decoded: built in memory, checked before HDF5 sees them."""

import errno
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from scalecurv.errors import Misuse, StoreError
from scalecurv.store.frames import Tables, frame_of
from scalecurv.store.meanings import meaning_of
from scalecurv.store.schema import ADDED, ADDED_TABLES, FORMAT, LABELS, OLDEST, TABLES, VERSION, Column

TEXT = h5py.string_dtype("utf-8")
TRIES = 5  # attempts to read a file that is being replaced
CHUNK = 65536  # rows of an index that are checked, and packed, together
SEAL = b"scalecurv sha256 "  # followed by the digest of all bytes before it; HDF5 ignores bytes after its end
_SEAL_LENGTH = len(SEAL) + 64
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


def encode(tables: Tables, described: bool = False) -> bytes:
    """Return the bytes of an HDF5 file with a seal: a group for each table, a 1-D dataset along `row` for each column.

    Every text is stored once: a text column holds positions in the table's sorted `label`. An array column `values`
    becomes `values` (the numbers of all rows, concatenated) along `point`, and `offset` along `edge`: row i holds
    values[offset[i] : offset[i + 1]]. xarray opens it, group by group. HDF5 writes to memory and this program writes
    the bytes, so that a full disk is an OSError instead of a crash inside HDF5. Where it is `described`, each column
    has the words that define it as `long_name`; in a part they would take a sixth of the space.
    """
    buffer = io.BytesIO()
    # format 1.10 keeps a checksummed one-chunk column in a fifth of the space of the oldest format
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=FORMAT, schema_version=VERSION)
        for name, columns in TABLES.items():
            group = file.create_group(name)
            _write_table(group, tables[name], columns)
            for column in columns if described else ():
                group[column.name].attrs["long_name"] = meaning_of(name, column.name)
    return buffer.getvalue() + _seal(buffer.getvalue())


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
    image, seal = memoryview(content)[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:]
    if not seal.startswith(SEAL):
        raise BrokenFile(f"{source} is no scalecurv file, or it was cut short")
    if seal != _seal(image):
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


class _Image(Mapping[str, pd.DataFrame]):
    """The tables of one sealed file, each read once."""

    def __init__(self, source: Path, content: bytes):
        self._source, self._content = source, content
        self._read: dict[str, pd.DataFrame] = {}
        try:
            with h5py.File(io.BytesIO(content), "r") as file:
                self._version = int(file.attrs["schema_version"])
                if self._version <= VERSION:
                    _check_columns(file, self._version)
        except _DAMAGE as error:
            raise BrokenFile(f"{source} is no file of results ({error})") from error
        if not OLDEST <= self._version <= VERSION:
            raise Misuse(
                f"{source} has schema {self._version}, this release reads {OLDEST} to {VERSION}; "
                f"upgrade scalecurv to read it"
            )

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            columns = TABLES[name]
            try:
                with h5py.File(io.BytesIO(self._content), "r") as file:
                    there = self._version >= ADDED_TABLES.get(name, 0)
                    self._read[name] = _read_table(file[name], name, self._version) if there else frame_of({}, columns)
            except _DAMAGE as error:
                raise BrokenFile(f"{self._source} has no table {name} that can be read ({error})") from error
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def _seal(image: bytes | memoryview) -> bytes:
    return SEAL + hashlib.sha256(image).hexdigest().encode()


def _write_table(group: h5py.Group, frame: pd.DataFrame, columns: tuple[Column, ...]) -> None:
    row = _scale(group, "row", len(frame))
    texts = [column.name for column in columns if column.kind == "text"]
    labels, codes = _one_vocabulary({name: frame[name] for name in texts})
    _write(group, LABELS, labels, Column(LABELS, "text"), _scale(group, "text", len(labels)))
    for column in columns:
        if column.kind == "array":
            _write_ragged(group, column, list(frame[column.name]))
        elif column.kind == "text":
            _write(group, column.name, codes[column.name], column, row).attrs["labels"] = LABELS
        else:
            _write(group, column.name, frame[column.name].to_numpy(), column, row)


def _one_vocabulary(texts: dict[str, pd.Series]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return all texts of a table once, sorted, and each column as positions in them."""
    used = {name: np.unique(series.cat.codes) for name, series in texts.items()}
    known = {name: series.cat.categories.to_numpy() for name, series in texts.items()}
    labels = sorted({label for name in texts for label in known[name][used[name]]})
    place = {label: i for i, label in enumerate(labels)}
    positions = {}
    for name, series in texts.items():
        moved = np.zeros(len(known[name]), dtype=np.int32)
        moved[used[name]] = [place[label] for label in known[name][used[name]]]
        positions[name] = moved[series.cat.codes]
    return np.array(labels, dtype=object), positions


def _scale(group: h5py.Group, name: str, length: int) -> h5py.Dataset:
    """Return a dimension without coordinates, as netCDF writes it: a scale whose storage is never allocated."""
    scale = group.create_dataset(name, shape=(length,), dtype=np.dtype("i1"))
    scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{length:10d}")
    return scale


def _write(group: h5py.Group, name: str, data: np.ndarray, column: Column, scale: h5py.Dataset) -> h5py.Dataset:
    dtype = TEXT if data.dtype == object else data.dtype
    # HDF5 cannot filter text of variable length; fletcher32 is for readers that do not check the seal
    options: dict[str, Any] = {}
    if len(data) and data.dtype != object:
        options = {"fletcher32": True, "chunks": (min(len(data), CHUNK),)}
        if len(data) > CHUNK:
            options |= {"shuffle": True, "compression": "gzip", "compression_opts": 1}
    dataset = group.create_dataset(name, data=data, shape=(len(data),), dtype=dtype, **options)
    dataset.attrs["units"] = column.units
    dataset.dims[0].attach_scale(scale)
    return dataset


def _write_ragged(group: h5py.Group, column: Column, rows: list[np.ndarray]) -> None:
    flat = np.concatenate([np.empty(0), *rows])
    edges = np.cumsum([0, *(len(row) for row in rows)])
    _write(group, column.name, flat, column, _scale(group, "point", len(flat)))
    _write(group, "offset", edges, Column("offset", "int"), _scale(group, "edge", len(edges)))


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
