"""Datasets of an HDF5 file and of the groups in it; contiguous ones of large files are mapped."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from scalecurv.data.stored import Arrays, Rows, Stored, grouped, is_large

DEEPEST = 3  # groups in groups: SPLIT/x/PART; a link may lead a group into itself
BLOCK = 1 << 24  # bytes read at a time where some rows are wanted


@contextmanager
def hdf5_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the datasets by name, those of a group in a mapping of its own, while the file is open."""
    with h5py.File(path, "r", locking=False) as file:
        yield grouped({name: partial(_stored, path, dataset) for name, dataset in _datasets(file, "", DEEPEST)})


def _datasets(group: h5py.Group, prefix: str, depth: int) -> Iterator[tuple[str, h5py.Dataset]]:
    for name in group:
        item = group.get(name)  # None where a link leads nowhere
        if isinstance(item, h5py.Dataset):
            yield f"{prefix}{name}", item
        elif isinstance(item, h5py.Group) and depth > 1:
            yield from _datasets(item, f"{prefix}{name}/", depth - 1)


def _stored(path: Path, dataset: h5py.Dataset) -> Stored:
    if dataset.shape is None:
        raise ValueError(f"{dataset.name} is empty")
    offset = _offset(dataset) if is_large(path) else None
    if offset is not None:
        return Stored.mapped(path, offset, dataset.shape, dataset.dtype)
    return Stored(dataset.shape, dataset.dtype, partial(_take, dataset))


def _offset(dataset: h5py.Dataset) -> int | None:
    """Return the offset of a dataset's bytes in this file, None where they cannot be mapped as a NumPy array.

    Chunked and virtual datasets and data in other files cannot be mapped, nor can any type that is not numeric: a map
    of HDF5 references or strings would be a map of pointers.
    """
    plain = dataset.dtype.kind in "fiub" and dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
    return dataset.id.get_offset() if plain and dataset.size else None


def _take(dataset: h5py.Dataset, rows: Rows) -> np.ndarray:
    """Return the wanted rows.

    They are read in blocks of whole chunks, because h5py reads single rows slowly; blocks without one are skipped.
    """
    if rows is None:
        return dataset[...]
    array = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step = chunk * max(1, BLOCK // max(1, chunk * array[:1].nbytes))
    for start in range(0, len(dataset), step):
        here = slice(*np.searchsorted(rows, (start, start + step)))
        if len(wanted := rows[here]):
            array[here] = dataset[wanted[0] : wanted[-1] + 1][wanted - wanted[0]]
    return array
