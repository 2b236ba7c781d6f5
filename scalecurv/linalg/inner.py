"""Inner products accumulated in float64, whatever the dtype of the vectors."""

import torch
from torch import Tensor

ROWS = 1 << 20  # rows converted at a time: the float64 copy of a block stays small beside the block


def gram(U: Tensor, V: Tensor) -> Tensor:
    """U' V of shape (j, k) in float64, for U (n, j) and V (n, k)."""
    total = torch.zeros(U.shape[1], V.shape[1], dtype=torch.float64, device=U.device)
    for start in range(0, U.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        total += U[rows].double().T @ V[rows].double()
    return total


def dots(U: Tensor, V: Tensor) -> Tensor:
    """The k inner products u_i' v_i, shape (k,) in float64, of the columns of U and V, both (n, k)."""
    total = torch.zeros(U.shape[1], dtype=torch.float64, device=U.device)
    for start in range(0, U.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        total += (U[rows].double() * V[rows].double()).sum(0)
    return total


def norms(V: Tensor) -> Tensor:
    """The k Euclidean norms of the columns of V (n, k), shape (k,) in float64."""
    return dots(V, V).sqrt()


def project_out(V: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Two passes of V <- V - Q Q'V, for V (n, k) and orthonormal Q (n, j).

    Returns V with its component along Q removed, and the coefficients (j, k) in float64. Twice is enough:
    what the second pass cannot remove is rounding (Kahan, in Parlett 1998, sec. 6.9).
    """
    coefficients = gram(Q, V)
    V = V - Q @ coefficients.to(V.dtype)
    correction = gram(Q, V)
    return V - Q @ correction.to(V.dtype), coefficients + correction
