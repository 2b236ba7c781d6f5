"""Inner products, accumulated in float64 for vectors of any dtype."""

import torch
from torch import Tensor

ROWS = 1 << 15  # rows converted at a time, so that the float64 copy stays in the processor's cache


def gram(U: Tensor, V: Tensor) -> Tensor:
    """Return U' V of shape (j, k) in float64, for U (n, j) and V (n, k)."""
    total = torch.zeros(U.shape[1], V.shape[1], dtype=torch.float64, device=U.device)
    for start in range(0, U.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        total += U[rows].double().T @ V[rows].double()
    return total


def dots(U: Tensor, V: Tensor) -> Tensor:
    """Return the k inner products u_i' v_i, shape (k,) in float64, of the columns of U and V, both (n, k)."""
    total = torch.zeros(U.shape[1], dtype=torch.float64, device=U.device)
    for start in range(0, U.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        total += (U[rows].double() * V[rows].double()).sum(0)
    return total


def norms(V: Tensor) -> Tensor:
    """Return the k Euclidean norms of the columns of V (n, k), shape (k,) in float64."""
    return dots(V, V).sqrt()


def project_out(V: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Return V (n, k) without its component along orthonormal Q (n, j), and the coefficients Q'V (j, k) in float64.

    V <- V - Q Q'V is applied twice; what a second pass leaves is rounding (Kahan, in Parlett 1998, sec. 6.9).
    """
    coefficients = gram(Q, V)
    outside = (Q @ coefficients.to(V.dtype)).neg_().add_(V)  # in place: one block beside V and Q
    correction = gram(Q, outside)
    return outside.sub_(Q @ correction.to(V.dtype)), coefficients + correction
