"""Arrays of an .npz archive, without unpickling anything; uncompressed members of large ones are mapped."""

import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from scalecurv.data.stored import Arrays, Rows, Stored, is_large

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LOCAL = struct.Struct("<26xHH")  # ends with the lengths of the name and of the extra field before the member's bytes


@contextmanager
def npz_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the arrays by name while the file is open."""
    with zipfile.ZipFile(path) as archive:
        yield {info.filename.removesuffix(".npy"): partial(_stored, path, archive, info) for info in archive.infolist()}


def _stored(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{info.filename} is of version {version[0]}.{version[1]}; save numbers by numpy.savez")
        shape, fortran, dtype = _HEADERS[version](stream)
        start = stream.tell()
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if info.file_size != start + math.prod(shape) * dtype.itemsize:  # else a damaged shape could ask for all memory
        raise ValueError(f"{info.filename} has {info.file_size - start} bytes, not those of shape {shape}")
    if is_large(path) and info.compress_type == zipfile.ZIP_STORED:
        return Stored.mapped(path, _first_byte(path, info) + start, shape, dtype, fortran)

    def take(rows: Rows) -> np.ndarray:
        with archive.open(info) as stream:
            array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        return array if rows is None else array[rows]

    return Stored(shape, dtype, take)


def _first_byte(path: Path, info: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(info.header_offset)
        return info.header_offset + _LOCAL.size + sum(_LOCAL.unpack(file.read(_LOCAL.size)))
