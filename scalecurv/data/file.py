"""The arrays x and y in a file of any format, or in several files."""

import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from scalecurv.data.checks import check_form
from scalecurv.data.hdf5 import hdf5_arrays
from scalecurv.data.npz import npz_arrays
from scalecurv.data.parquet import parquet_arrays
from scalecurv.data.splits import names_of
from scalecurv.data.stored import Rows, Stored
from scalecurv.data.tensors import safetensors_arrays, torch_arrays
from scalecurv.errors import Misuse, first_line

READERS = {
    ".npz": npz_arrays,
    ".pt": torch_arrays,
    ".safetensors": safetensors_arrays,
    ".h5": hdf5_arrays,
    ".parquet": parquet_arrays,
}
_UNREADABLE = (
    OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AssertionError, zipfile.BadZipFile,
    zlib.error, struct.error, SafetensorError,
)  # fmt: skip


@contextmanager
def opened(path: Path, split: str | None) -> Iterator[tuple[Stored, Stored]]:
    """Yield x and y of the file, or of one of its splits, whose rows can be read while it is open; raises Misuse."""
    if path.suffix not in READERS:
        raise Misuse(f"--data {path} is of no known kind; give {', '.join(READERS)} with arrays x and y")
    try:
        with READERS[path.suffix](path) as arrays:
            x, y = names_of(path, arrays, split)
            yield arrays[x](), arrays[y]()
    except Misuse:
        raise
    except pickle.UnpicklingError as error:  # its message advises to run the pickle
        raise Misuse(
            f"--data {path} holds more than tensors, or is damaged; nothing pickled is ever run: save tensors x and y"
        ) from error
    except _UNREADABLE as error:
        raise Misuse(f"--data {path} cannot be read: {first_line(error)}") from error


Form = tuple[tuple[int, ...], np.dtype]  # shape and dtype of a sample, in this machine's byte order


def read_files(
    files: Sequence[Path], split: str | None, choose: Callable[[int], Rows]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return x, y and the number of samples available.

    Of several files the shapes are read first, then the rows of each file into their place. Raises Misuse, naming the
    file, where a file holds no data or does not fit the first.
    """
    if len(files) == 1:
        with opened(files[0], split) as stored:
            check_form(files[0], *stored)
            rows = choose(stored[0].shape[0])
            x, y = (part.take(rows) for part in stored)
            return x, y, stored[0].shape[0]
    lengths, forms = zip(*(_form(file, split) for file in files), strict=True)
    for file, form in zip(files, forms, strict=True):
        _check_same(file, form, files[0].name, forms[0])
    available = sum(lengths)
    rows = choose(available)
    x, y = (np.empty((available if rows is None else len(rows), *shape), dtype) for shape, dtype in forms[0])
    start = filled = 0
    for file, length in zip(files, lengths, strict=True):
        own = None if rows is None else rows[slice(*np.searchsorted(rows, (start, start + length)))] - start
        count = length if own is None else len(own)
        if count:
            with opened(file, split) as stored:
                x[filled : filled + count], y[filled : filled + count] = (part.take(own) for part in stored)
        start, filled = start + length, filled + count
    return x, y, available


def _form(file: Path, split: str | None) -> tuple[int, tuple[Form, Form]]:
    with opened(file, split) as (x, y):
        check_form(file, x, y)
        return x.shape[0], ((x.shape[1:], x.dtype.newbyteorder("=")), (y.shape[1:], y.dtype.newbyteorder("=")))


def _check_same(file: Path, form: tuple[Form, Form], name: str, first: tuple[Form, Form]) -> None:
    for array, (shape, dtype), (wanted_shape, wanted_dtype) in zip("xy", form, first, strict=True):
        if (shape, dtype) != (wanted_shape, wanted_dtype):
            raise Misuse(
                f"--data {file}: {array} holds {dtype} {shape} a sample, but {name} has {wanted_dtype} {wanted_shape}; "
                f"give shards of one shape and dtype"
            )
