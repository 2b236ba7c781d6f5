"""A wide block of vectors taken through a product a few columns at a time, inside the memory budget."""

from collections.abc import Callable

import torch
from torch import Tensor


def by_columns(V: Tensor, num_rows: int, width: int, product: Callable[[Tensor], Tensor]) -> Tensor:
    """[product(V_1), product(V_2), ...] of shape (num_rows, k), V_j being `width` columns of V (n, k).

    Raises FloatingPointError where a product overflows: no estimator can do anything with it.
    """
    out = V.new_empty(num_rows, V.shape[1])
    for start in range(0, V.shape[1], width):
        columns = slice(start, start + width)
        out[:, columns] = product(V[:, columns])
    if not bool(torch.isfinite(out).all()):
        raise FloatingPointError(f"a product in {V.dtype} is not finite; try --dtype float64, or look at the weights")
    return out
