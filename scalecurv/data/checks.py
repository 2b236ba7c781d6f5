"""Checks of inputs and targets: real and finite numbers, one target per sample."""

import math
from typing import Any

import numpy as np

from scalecurv.data.stored import by_name
from scalecurv.display import shown
from scalecurv.errors import Misuse

BLOCK = 1 << 22  # numbers checked at a time, so that a mapped array is never in memory as a whole
ADVICE = "give one target a sample, x (N, ...) and y (N,) or (N, D)"


def check_form(source: object, x: Any, y: Any) -> None:
    """Raise Misuse where the dtypes or shapes of inputs and targets are not those of samples; no row is read."""
    arrays = by_name(x, y)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise Misuse(f"--data {source}: {shown(name)} holds {array.dtype}; give real numbers of at most 64 bits")
    lengths = {array.shape[:1] for array in arrays.values()}
    if not any(name.startswith("x") for name in arrays) or not any(name.startswith("y") for name in arrays):
        raise Misuse(f"--data {source}: x or y is a container without arrays; {ADVICE}")
    if lengths & {(), (0,)} or len(lengths) > 1:
        shapes = " and ".join(f"{shown(name)} has shape {array.shape}" for name, array in arrays.items())
        raise Misuse(f"--data {source}: {shapes}; {ADVICE}")


def check_finite(source: object, x: Any, y: Any) -> None:
    """Raise Misuse with the number of values that are NaN or infinite, where there are any.

    A part of several may be a mask that is added to scores, and hold infinities.
    """
    for name, array in by_name(x, y).items():
        if array.dtype.kind != "f":
            continue
        step = max(1, BLOCK // max(1, math.prod(array.shape[1:])))
        sound = np.isfinite if name in ("x", "y") else _is_number
        bad = sum(int((~sound(array[i : i + step])).sum()) for i in range(0, len(array), step))
        if bad:
            kind = "NaN or infinite" if sound is np.isfinite else "NaN"
            raise Misuse(f"--data {source}: {shown(name)} holds {bad} {kind} value(s); remove them first")


def _is_number(array: np.ndarray) -> np.ndarray:
    return ~np.isnan(array)
