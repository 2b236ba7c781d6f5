"""One item of a dataset as two arrays."""

from typing import Any

import numpy as np
from torch import Tensor

from scalecurv.errors import Misuse

Pair = tuple[np.ndarray, np.ndarray]


def pair_of(source: str, what: str, item: Any) -> Pair:
    """x and y of an item (x, y) of tensors, arrays or numbers; raises Misuse, in which `what` names the item."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        held = f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
        raise Misuse(f"{source}: {what} is a {held}; give (x, y), tensors, arrays or numbers")
    return _array(source, f"x of {what}", item[0]), _array(source, f"y of {what}", item[1])


def same_kind(source: str, what: str, pair: Pair, other: str, first: Pair) -> None:
    """Raises Misuse where x or y of two items differ in shape or dtype, for they cannot be stacked."""
    for name, array, wanted in zip("xy", pair, first, strict=True):
        if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
            raise Misuse(
                f"{source}: {name} of {what} is {array.dtype} {array.shape}, of {other} {wanted.dtype} {wanted.shape}; "
                f"give all items one shape and dtype"
            )


def _array(source: str, what: str, value: Any) -> np.ndarray:
    if any(kind.__module__.startswith("PIL.") for kind in type(value).__mro__):
        raise Misuse(f"{source}: {what} is an image of PIL; convert it, for example by numpy.asarray(image)")
    if isinstance(value, Tensor):
        try:
            return value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # bfloat16, sparse, quantized: NumPy has none of them
            raise Misuse(f"{source}: {what} is no array ({error}); give float32, or whole numbers") from error
    if isinstance(value, np.ndarray | np.generic | bool | int | float):
        return np.asarray(value)
    raise Misuse(f"{source}: {what} is a {type(value).__name__}; give a tensor, an array or a number")
