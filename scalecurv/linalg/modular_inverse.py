"""The inverse of a matrix over the integers modulo a prime, by blocks and without a search for pivots."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.residues import reduced

SMALL = 32  # rows of a block that is inverted column by column


def modular_inverse(A: Tensor, prime: int) -> Tensor | None:
    """Return the inverse of the residues A (n, n) modulo `prime`, n <= 512; None where a leading minor is 0.

    With C the leading half, E = A_21 C^-1 and S = A_22 - E A_12, the inverse has the blocks C^-1 + C^-1 A_12 S^-1 E,
    -C^-1 A_12 S^-1, -S^-1 E and S^-1 (Banachiewicz 1937). A random matrix has a leading minor that is 0 with a chance
    of about n / prime: what takes the None then searches for pivots.

    Example:
        >>> modular_inverse(torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64), 101).tolist()
        [[1.0, -1.0], [-1.0, 2.0]]
        >>> modular_inverse(torch.zeros(2, 2, dtype=torch.float64), 101) is None
        True
    """
    n = len(A)
    if n <= SMALL:
        return _by_columns(A, prime)
    half = n // 2
    first = modular_inverse(A[:half, :half], prime)
    if first is None:
        return None
    left = reduced(A[half:, :half] @ first, prime)
    last = modular_inverse(reduced(A[half:, half:] - left @ A[:half, half:], prime), prime)
    if last is None:
        return None
    right = reduced(first @ A[:half, half:], prime)
    out = torch.empty_like(A)
    out[half:, half:] = last
    out[half:, :half] = reduced(-last @ left, prime)
    out[:half, half:] = reduced(-right @ last, prime)
    out[:half, :half] = reduced(first - right @ out[half:, :half], prime)
    return out


def _by_columns(A: Tensor, prime: int) -> Tensor | None:
    """Return the inverse by Gauss-Jordan elimination in the order of the diagonal; None at a pivot that is 0."""
    work = A.cpu().numpy().astype(np.int64)
    for j in range(len(work)):
        pivot = int(work[j, j]) % prime
        if not pivot:
            return None
        inverse = pow(pivot, -1, prime)
        work[j, j] = 1
        row = work[j] * inverse % prime
        column = work[:, j].copy()
        column[j] = 0
        work[:, j] *= np.arange(len(work)) == j
        work[j] = row
        work = (work - column[:, None] * row) % prime
    return reduced(torch.from_numpy(work.astype(np.float64)).to(A.device), prime)
