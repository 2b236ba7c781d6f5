"""Arrays of an .npz archive, without unpickling anything; uncompressed members of large ones are mapped."""

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from scalecurv.data.npy import Header
from scalecurv.data.stored import Arrays, Rows, Stored, grouped, is_large

_LOCAL = struct.Struct("<26xHH")  # ends with the lengths of the name and of the extra field before the member's bytes


@contextmanager
def npz_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the arrays by name while the file is open."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist() if info.filename.endswith(".npy")}
        yield grouped({name.removesuffix(".npy"): partial(_member, path, archive, i) for name, i in members.items()})


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    with archive.open(info) as stream:
        header = Header.read(info.filename, stream, info.file_size)
    if is_large(path) and info.compress_type == zipfile.ZIP_STORED:
        start = _first_byte(path, info) + header.start
        return Stored.mapped(path, start, header.shape, header.dtype, header.fortran)

    def take(rows: Rows) -> np.ndarray:
        with archive.open(info) as stream:
            array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        return array if rows is None else array[rows]

    return Stored(header.shape, header.dtype, take)


def _first_byte(path: Path, info: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(info.header_offset)
        return info.header_offset + _LOCAL.size + sum(_LOCAL.unpack(file.read(_LOCAL.size)))
