"""Tables as the bytes of an HDF5 file and back: built in memory, checked when read."""

import hashlib
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.store.schema import FORMAT, TABLES, VERSION, Column

Tables = dict[str, pd.DataFrame]
TEXT = h5py.string_dtype("utf-8")
SEAL = b"scalecurv sha256 "  # then the digest of all before it; HDF5 ignores what follows its own end
_SEAL_LENGTH = len(SEAL) + 64


class BrokenFile(ValueError):
    """A file of the store that cannot be read whole: to be set aside, never to be deleted."""


def empty_tables() -> Tables:
    return {name: frame_of({}, columns) for name, columns in TABLES.items()}


def frame_of(data: dict[str, Any], columns: tuple[Column, ...]) -> pd.DataFrame:
    """A frame with exactly these columns in their dtypes; text and arrays are Python objects."""
    dtypes = {"text": object, "array": object, "int": np.int64, "float": np.float64}
    return pd.DataFrame({c.name: pd.Series(data.get(c.name, []), dtype=dtypes[c.kind]) for c in columns})


def encode(tables: Tables) -> bytes:
    """The bytes of an HDF5 file, sealed: one group a table, one 1-D dataset a column, along a `row` dimension scale.

    An array column `values` becomes `values` (all rows' numbers on end) along `point`, and `offset` along
    `edge`: row i holds values[offset[i] : offset[i + 1]]. Opens in xarray, group by group. Writing to memory
    and the bytes ourselves turns a full disk into an OSError instead of a crash inside HDF5.
    """
    buffer = io.BytesIO()
    # format 1.10 keeps a checksummed one-chunk column in a fifth of the space of the oldest format
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=FORMAT, schema_version=VERSION)
        for name, columns in TABLES.items():
            frame = tables[name]
            group = file.create_group(name)
            row = _scale(group, "row", len(frame))
            for column in columns:
                if column.kind == "array":
                    _write_ragged(group, column, list(frame[column.name]))
                else:
                    _write(group, column.name, frame[column.name].to_numpy(), column, row)
    return buffer.getvalue() + _seal(buffer.getvalue())


def decode(source: Path) -> Tables:
    """The tables of one file. Raises BrokenFile for damage, Misuse for a file of a newer release.

    HDF5 sees no byte before the seal is found whole: on damaged metadata it can loop for ever.
    """
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BrokenFile(f"{source} cannot be read ({error.strerror})") from error
    image, seal = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:]
    if not seal.startswith(SEAL):
        raise BrokenFile(f"{source} is no scalecurv file, or it was cut short")
    if seal != _seal(image):
        raise BrokenFile(f"{source} is damaged (its content does not match its checksum)")
    with h5py.File(io.BytesIO(image), "r") as file:
        if file.attrs["schema_version"] > VERSION:
            raise Misuse(
                f"{source} has schema {file.attrs['schema_version']}, this release reads up to {VERSION}; "
                f"upgrade scalecurv to read it"
            )
        return {name: _read(file[name], columns) for name, columns in TABLES.items()}


def _seal(image: bytes) -> bytes:
    return SEAL + hashlib.sha256(image).hexdigest().encode()


def _scale(group: h5py.Group, name: str, length: int) -> h5py.Dataset:
    """A dimension without coordinates, as netCDF writes one: a scale whose storage is never allocated."""
    scale = group.create_dataset(name, shape=(length,), dtype=np.dtype("i1"))
    scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{length:10d}")
    return scale


def _write(group: h5py.Group, name: str, data: np.ndarray, column: Column, scale: h5py.Dataset) -> None:
    dtype = {"text": TEXT, "int": np.dtype("i8")}.get(column.kind, np.dtype("f8"))
    # HDF5 cannot filter text of variable length; fletcher32 is for readers that do not look at the seal
    checked = column.kind != "text" and len(data) > 0
    options: dict[str, Any] = {"fletcher32": True, "chunks": (len(data),)} if checked else {}
    dataset = group.create_dataset(name, data=data, shape=(len(data),), dtype=dtype, **options)
    dataset.attrs["units"] = column.units
    dataset.dims[0].attach_scale(scale)


def _write_ragged(group: h5py.Group, column: Column, rows: list[np.ndarray]) -> None:
    flat = np.concatenate([np.empty(0), *rows])
    edges = np.cumsum([0, *(len(row) for row in rows)])
    _write(group, column.name, flat, column, _scale(group, "point", len(flat)))
    _write(group, "offset", edges, Column("offset", "int"), _scale(group, "edge", len(edges)))


def _read(group: h5py.Group, columns: tuple[Column, ...]) -> pd.DataFrame:
    data: dict[str, Any] = {}
    for column in columns:
        dataset = group[column.name]
        if column.kind == "text":
            data[column.name] = list(dataset.asstr()[...])
        elif column.kind == "array":
            flat, edges = dataset[...], group["offset"][...]
            data[column.name] = [flat[a:b] for a, b in pairwise(edges)]
        else:
            data[column.name] = dataset[...]
    return frame_of(data, columns)
