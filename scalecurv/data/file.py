"""Inputs and targets in a file of any format, or in several files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scalecurv.data.checks import check_form
from scalecurv.data.hdf5 import hdf5_arrays
from scalecurv.data.npy import npy_arrays, npy_pair
from scalecurv.data.npz import npz_arrays
from scalecurv.data.parquet import parquet_arrays
from scalecurv.data.roles import inputs_and_targets
from scalecurv.data.safetensors_file import safetensors_arrays
from scalecurv.data.stored import UNREADABLE, Rows, by_name, rows_within
from scalecurv.data.torch_file import torch_arrays
from scalecurv.errors import Misuse, first_line
from scalecurv.samples.nested import mapped

READERS = {
    ".npz": npz_arrays,
    ".npy": npy_pair,
    ".pt": torch_arrays,
    ".pth": torch_arrays,
    ".safetensors": safetensors_arrays,
    ".h5": hdf5_arrays,
    ".hdf5": hdf5_arrays,
    ".parquet": parquet_arrays,
}
KINDS = ".npz, .npy, .pt, .safetensors, .h5 or .parquet"
CSV = "duckdb.sql(\"copy (from 'data.csv') to 'data.parquet'\")"


@contextmanager
def opened(path: Path, split: str | None) -> Iterator[tuple[Any, Any]]:
    """Yield x and y of the file, or of one of its splits, whose rows can be read while it is open; raises Misuse.

    Each is one array, a `Stored`, or a Nested of some. A directory is one of .npy files.
    """
    if path.suffix == ".csv":
        raise Misuse(f"--data {path} is text without types; write it as Parquet, columns y and x0, x1, ...: {CSV}")
    if path.suffix not in READERS and not path.is_dir():
        raise Misuse(f"--data {path} is of no known kind; give {KINDS} with arrays x and y")
    try:
        with (npy_arrays if path.is_dir() else READERS[path.suffix])(path) as arrays:
            x, y = inputs_and_targets(path, arrays, split)
            yield mapped(lambda held: held(), x), mapped(lambda held: held(), y)
    except Misuse:
        raise
    except UNREADABLE as error:
        raise Misuse(f"--data {path} cannot be read: {first_line(error)}") from error


Form = tuple[tuple[int, ...], np.dtype]  # shape and dtype of a sample, in this machine's byte order


def read_files(files: Sequence[Path], split: str | None, choose: Callable[[int], Rows]) -> tuple[Any, Any, int]:
    """Return x, y and the number of samples available.

    Of several files the shapes are read first, then the rows of each file into their place. Raises Misuse, naming the
    file, where a file holds no data or does not fit the first.
    """
    if len(files) == 1:
        with opened(files[0], split) as (x, y):
            check_form(files[0], x, y)
            available = next(iter(by_name(x, y).values())).shape[0]
            rows = choose(available)
            return mapped(lambda part: part.take(rows), x), mapped(lambda part: part.take(rows), y), available
    lengths, forms, trees = zip(*(_form(file, split) for file in files), strict=True)
    for file, form in zip(files, forms, strict=True):
        _check_same(file, form, files[0].name, forms[0])
    available = sum(lengths)
    rows = choose(available)
    count = available if rows is None else len(rows)
    whole = {name: np.empty((count, *shape), dtype) for name, (shape, dtype) in forms[0].items()}
    start = filled = 0
    for file, length in zip(files, lengths, strict=True):
        own = rows_within(rows, start, length)
        count = length if own is None else len(own)
        if count:
            with opened(file, split) as (x, y):
                for name, part in by_name(x, y).items():
                    whole[name][filled : filled + count] = part.take(own)
        start, filled = start + length, filled + count
    x, y = (mapped(whole.__getitem__, names) for names in trees[0])
    return x, y, available


def _form(file: Path, split: str | None) -> tuple[int, dict[str, Form], tuple[Any, Any]]:
    """Return the number of samples, the form of each array by name, and x and y with these names in their places."""
    with opened(file, split) as (x, y):
        check_form(file, x, y)
        arrays = by_name(x, y)
        forms = {name: (array.shape[1:], array.dtype.newbyteorder("=")) for name, array in arrays.items()}
        names = iter(arrays)
        trees = mapped(lambda _: next(names), x), mapped(lambda _: next(names), y)
        return next(iter(arrays.values())).shape[0], forms, trees


def _check_same(file: Path, form: dict[str, Form], name: str, first: dict[str, Form]) -> None:
    if form.keys() != first.keys():
        raise Misuse(f"--data {file} holds {', '.join(form)}, but {name} has {', '.join(first)}; give shards alike")
    for array, (shape, dtype) in form.items():
        if (shape, dtype) != first[array]:
            raise Misuse(
                f"--data {file}: {array} holds {dtype} {shape} a sample, but {name} has {first[array][1]} "
                f"{first[array][0]}; give shards of one shape and dtype"
            )
