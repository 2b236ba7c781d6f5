"""The rank of a matrix over the integers modulo a prime, which needs no tolerance and has no rounding."""

import torch
from torch import Tensor

from scalecurv.linalg.modular_inverse import modular_inverse
from scalecurv.linalg.residues import INNER, reduced

PANEL = INNER  # columns eliminated before the rest of the matrix is updated
BLOCK = INNER // 2  # rows of a block that serves as the pivot of as many columns at once
NARROW = 16  # columns below which a panel is eliminated one column at a time
SPARE = 8  # random combinations of rows beyond the rank; they hide part of it with a chance of about p^-SPARE
TILE = 1024  # columns of the rest that are updated together


def modular_rank(A: Tensor, prime: int) -> int:
    """Return the rank of the residues A (m, n) modulo `prime`; A is overwritten.

    Blocked elimination with row pivoting: P A = L E with L (m, r) unit lower trapezoidal and E in row echelon form
    (Jeannerod, Pernet and Storjohann 2013, arXiv 1112.5717); only r is returned. A minor that is not zero modulo
    `prime` is not zero, so that the rank over the rationals is r or larger. The elimination takes about m n r
    multiplications, nearly all of them in matrix products.
    """
    rank, start = 0, 0
    while rank < A.shape[0] and start < A.shape[1]:
        rest = A[rank:, start:]
        width = min(BLOCK, *rest.shape)
        inverse = modular_inverse(rest[:width, :width], prime)
        if inverse is not None:  # nearly always, where the rank is full: one product in place of a search for pivots
            _schur(rest, inverse, prime)
            rank, start = rank + width, start + width
            continue
        order, L = _eliminate(rest[:, :PANEL], prime)
        if k := L.shape[1]:
            _update(rest[:, PANEL:], order, L, prime)
        rank, start = rank + k, start + PANEL
    return rank


def symmetric_modular_rank(A: Tensor, prime: int) -> int:
    """Return the rank of symmetric residues A (n, n) modulo `prime`; A is overwritten.

    The Schur complement of a leading block that is invertible is symmetric, so that half of it is computed: about
    n^2 r / 3 multiplications where r is the rank. Where a leading block is singular, the rest is eliminated as any
    other matrix is.
    """
    n, rank = len(A), 0
    while rank < n:
        rest = A[rank:, rank:]
        width = min(BLOCK, len(rest))
        inverse = modular_inverse(rest[:width, :width], prime)
        if inverse is None:
            return rank + modular_rank(_mirrored(rest), prime)
        below = rest[width:, :width].clone()
        pivots = _product(below, inverse, prime)
        for i in range(0, len(below), BLOCK):  # strips of whole blocks: each block on the diagonal stays symmetric
            strip = rest[width + i : width + i + BLOCK, width : width + min(i + BLOCK, len(below))]
            for j in range(0, strip.shape[1], TILE):
                tile = strip[:, j : j + TILE]
                reduced(tile.addmm_(pivots[i : i + BLOCK], below[j : j + tile.shape[1]].T, alpha=-1), prime)
        rank += width
    return rank


def _mirrored(A: Tensor) -> Tensor:
    """Return the symmetric matrix whose blocks below the diagonal are those of A, in the place of A."""
    for i in range(BLOCK, len(A), BLOCK):
        A[:i, i : i + BLOCK] = A[i : i + BLOCK, :i].T
    return A


def _product(A: Tensor, B: Tensor, prime: int) -> Tensor:
    """Return A B modulo `prime` for A (m, k) and B (k, n), k <= INNER, a block of rows at a time."""
    out = A.new_empty(len(A), B.shape[1])
    for i in range(0, len(A), TILE):
        reduced(torch.mm(A[i : i + TILE], B, out=out[i : i + TILE]), prime)
    return out


def _schur(rest: Tensor, inverse: Tensor, prime: int) -> None:
    """Subtract from the lower right part what the invertible upper left block eliminates, in place."""
    k = len(inverse)
    multipliers = _product(rest[k:, :k], inverse, prime)
    for i in range(k, rest.shape[1], TILE):
        above = rest[:k, i : i + TILE]
        for j in range(0, len(multipliers), TILE):
            tile = rest[k + j : k + j + TILE, i : i + TILE]
            reduced(tile.addmm_(multipliers[j : j + TILE], above, alpha=-1), prime)


def modular_ranks(stack: Tensor, prime: int) -> Tensor:
    """Return the rank of each matrix of `stack` (b, m, n), shape (b,) int64; `stack` is overwritten."""
    b, m, n = stack.shape
    everyone = torch.arange(b, device=stack.device)
    free = torch.ones(b, m, dtype=torch.bool, device=stack.device)
    ranks = torch.zeros(b, dtype=torch.int64, device=stack.device)
    for j in range(n):
        candidates = (stack[:, :, j] != 0) & free
        found = candidates.any(1)
        if not found.any():
            continue
        pivot = candidates.to(torch.uint8).argmax(1)
        row = stack[everyone, pivot]
        inverse = [pow(int(x), -1, prime) if x else 0 for x in row[:, j].tolist()]
        row = reduced(row * torch.tensor(inverse, dtype=stack.dtype, device=stack.device)[:, None], prime)
        free[everyone[found], pivot[found]] = False
        multipliers = stack[:, :, j] * (free & found[:, None])
        stack[:, :, j:] = reduced(stack[:, :, j:] - multipliers[:, :, None] * row[:, None, j:], prime)
        ranks += found
    return ranks


def _update(rest: Tensor, order: Tensor, L: Tensor, prime: int) -> None:
    """Update the columns right of a panel in place, except in the rows of its pivots, which are not read again."""
    k = L.shape[1]
    inverse = _inverse(L[:k], prime)
    for i in range(0, rest.shape[1], TILE):
        tile = rest[:, i : i + TILE]
        sorted_rows = tile[order]
        pivots = reduced(inverse @ sorted_rows[:k], prime)
        tile[k:] = reduced(sorted_rows[k:].addmm_(L[k:], pivots, alpha=-1), prime)


def _eliminate(panel: Tensor, prime: int) -> tuple[Tensor, Tensor]:
    """Return the order of the rows and L (m, r) of a panel, by eliminating its left half and then its right half."""
    half = panel.shape[1] // 2
    if panel.shape[1] <= NARROW:
        return _one_by_one(panel.clone(), prime)
    order, L = _eliminate(panel[:, :half], prime)
    k = L.shape[1]
    right = panel[order, half:]
    pivots = reduced(_inverse(L[:k], prime) @ right[:k], prime)
    below, M = _eliminate(reduced(right[k:].addmm_(L[k:], pivots, alpha=-1), prime), prime)
    lower = torch.cat([L[k:][below], M], dim=1)
    upper = torch.cat([L[:k], L.new_zeros(k, M.shape[1])], dim=1)
    return torch.cat([order[:k], order[k:][below]]), torch.cat([upper, lower])


def _one_by_one(panel: Tensor, prime: int) -> tuple[Tensor, Tensor]:
    """Return the order of the rows and L (m, r) of a panel, column by column; `panel` is overwritten."""
    m, n = panel.shape
    order = torch.arange(m, device=panel.device)
    L = panel.new_zeros(m, n)
    k = 0
    for j in range(n):
        found = panel[k:, j].nonzero()
        if not len(found):
            continue
        swap = torch.tensor([k, k + int(found[0, 0])], device=panel.device)
        for rows in (panel, L, order):
            rows[swap] = rows[swap.flip(0)]
        inverse = pow(int(panel[k, j]), -1, prime)
        L[k, k] = 1
        L[k + 1 :, k] = reduced(panel[k + 1 :, j] * inverse, prime)
        panel[k + 1 :, j + 1 :] = reduced(panel[k + 1 :, j + 1 :] - L[k + 1 :, k, None] * panel[k, j + 1 :], prime)
        k += 1
    return order, L[:, :k]


def _inverse(L: Tensor, prime: int) -> Tensor:
    """Return the inverse of a unit lower triangular matrix modulo `prime`, by halves."""
    k = len(L)
    inverse = torch.eye(k, dtype=L.dtype, device=L.device)
    if k <= NARROW:
        for i in range(1, k):
            inverse[i, :i] = reduced(-L[i, :i] @ inverse[:i, :i], prime)
        return inverse
    half = k // 2
    first, second = _inverse(L[:half, :half], prime), _inverse(L[half:, half:], prime)
    inverse[:half, :half], inverse[half:, half:] = first, second
    inverse[half:, :half] = reduced(-second @ reduced(L[half:, :half] @ first, prime), prime)
    return inverse
