"""The fingerprint of data: equal numbers have one fingerprint, in any file format and in any batches."""

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np


def fingerprint_of_arrays(**arrays: np.ndarray) -> str:
    """Return the sha256 over (name, dtype, shape, bytes) of every array, in the order of names.

    Example:
        >>> fingerprint_of_arrays(x=np.zeros((2, 3)), y=np.arange(2))[:8]
        '4f1d269a'
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    return fingerprint_of_batches(shapes, lambda name: [arrays[name]])


def fingerprint_of_batches(
    shapes: Mapping[str, tuple[int, ...]], batches: Callable[[str], Iterable[np.ndarray]]
) -> str:
    """Return the fingerprint of arrays of these shapes, of each of which `batches(name)` yields the rows in order."""
    total = hashlib.sha256()
    for name in sorted(shapes):
        for i, batch in enumerate(batches(name)):
            array = np.ascontiguousarray(batch)
            if i == 0:
                total.update(f"{name}|{array.dtype}|{tuple(shapes[name])}|".encode())
            total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
