"""Checks of x and y: real numbers, one target a sample, all of them finite."""

import math

import numpy as np

from scalecurv.data.stored import Stored
from scalecurv.errors import Misuse

BLOCK = 1 << 22  # numbers checked at a time, so that a mapped array is never in memory as a whole


def check_form(source: object, x: Stored | np.ndarray, y: Stored | np.ndarray) -> None:
    """Raise Misuse where dtypes or shapes of x and y are wrong; no row is read."""
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise Misuse(f"--data {source}: {name} holds {array.dtype}; give real numbers of at most 64 bits")
    if len(x.shape) < 2 or len(y.shape) < 1 or x.shape[0] != y.shape[0] or x.shape[0] == 0:
        raise Misuse(
            f"--data {source}: x has shape {x.shape} and y has shape {y.shape}; give one target a sample, "
            f"x (N, ...) and y (N,) or (N, D)"
        )


def check_finite(source: object, x: np.ndarray, y: np.ndarray) -> None:
    """Raise Misuse with the number of values that are NaN or infinite, where there are any."""
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind != "f":
            continue
        step = max(1, BLOCK // max(1, math.prod(array.shape[1:])))
        bad = sum(int((~np.isfinite(array[i : i + step])).sum()) for i in range(0, len(array), step))
        if bad:
            raise Misuse(f"--data {source}: {name} holds {bad} NaN or infinite value(s)")
