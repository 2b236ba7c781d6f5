"""Tables encoded as the bytes of a sealed HDF5 file, built in memory."""

import hashlib
import io
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
import pandas as pd

from scalecurv.store.frames import Tables, frame_of
from scalecurv.store.meanings import meaning_of
from scalecurv.store.schema import FORMAT, LABELS, TABLES, VERSION, Column

LIBVER = ("v110", "v110")  # keeps a checksummed one-chunk column in a fifth of the space of the oldest format
TEXT = h5py.string_dtype("utf-8")
CHUNK = 65536  # rows of an index that are checked, and packed, together
SEAL = b"scalecurv sha256 "  # followed by the digest of all bytes before it; HDF5 ignores bytes after its end
SEAL_LENGTH = len(SEAL) + 64


def encode(tables: Tables, described: bool = False) -> bytes:
    """Return the bytes of an HDF5 file with a seal: a group for each table, a 1-D dataset along `row` for each column.

    Every text is stored once: a text column holds positions in the table's sorted `label`. An array column `values`
    becomes `values` (the numbers of all rows, concatenated) along `point`, and `offset` along `edge`: row i holds
    values[offset[i] : offset[i + 1]]. xarray opens it, group by group. HDF5 writes to memory and this program writes
    the bytes, so that a full disk is an OSError instead of a crash inside HDF5. Where it is `described`, each column
    has the words that define it as `long_name`; in a part they would take a sixth of the space.
    """
    empty = tuple(name for name in TABLES if not len(tables[name]))
    buffer = io.BytesIO(_with_empty(empty, VERSION))
    with h5py.File(buffer, "r+", libver=LIBVER) as file:
        for name, columns in TABLES.items():
            group = file[name] if name in empty else file.create_group(name)
            if name not in empty:
                _write_table(group, tables[name], columns)
            for column in columns if described else ():
                group[column.name].attrs["long_name"] = meaning_of(name, column.name)
    return buffer.getvalue() + seal_of(buffer.getvalue())


@lru_cache(64)
def _with_empty(names: tuple[str, ...], version: int) -> bytes:
    """Return a file that holds these tables without rows and no others: half of the tables of a part, made once."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=LIBVER) as file:
        file.attrs.update(format=FORMAT, schema_version=version)
        for name in names:
            _write_table(file.create_group(name), frame_of({}, TABLES[name]), TABLES[name])
    return buffer.getvalue()


def seal_of(image: bytes | memoryview) -> bytes:
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
