"""Files of data one after the other: the samples of all of them, or the chosen ones, as two arrays."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scalecurv.data.checks import check_form
from scalecurv.data.file import opened
from scalecurv.data.stored import Rows
from scalecurv.errors import Misuse

Form = tuple[tuple[int, ...], np.dtype]  # of one sample, in this machine's byte order


def read_files(
    files: Sequence[Path], split: str | None, choose: Callable[[int], Rows]
) -> tuple[np.ndarray, np.ndarray, int]:
    """x, y and the samples available; raises Misuse, naming the file, for what is no data or does not fit the first.

    Of several files the shapes are read first and then the rows, those of each file straight into their place.
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
