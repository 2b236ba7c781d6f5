"""Exact arithmetic modulo a prime in float64 tensors, at the speed of floating-point matrix products."""

from functools import cache

import torch
from torch import Tensor

from scalecurv.linalg.probes import generator

BITS = 22  # residues lie within +-2^22, so that 2^9 products of two of them add up below 2^53
NUM_PRIMES = 268_216  # primes between 2^22 and 2^23


def random_primes(count: int, seed: int) -> tuple[int, ...]:
    """Return `count` different primes between 2^22 and 2^23, drawn uniformly: no data can be built against them."""
    rng = generator(seed, "primes", 0)
    primes: list[int] = []
    while len(primes) < count:
        candidate = int(rng.integers(1 << BITS, 2 << BITS)) | 1
        if candidate not in primes and _is_prime(candidate):
            primes.append(candidate)
    return tuple(primes)


def share_that_divides(bits: float) -> float:
    """Return the largest share of the primes between 2^22 and 2^23 that can divide a nonzero integer of `bits` bits."""
    return 1.0 if bits >= BITS * NUM_PRIMES else bits // BITS / NUM_PRIMES


def _is_prime(odd: int) -> bool:
    return all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))


INNER = 1 << 9  # terms of an inner product of residues below 2^23 that float64 adds up without rounding
TILE = 1024  # rows and columns of a product that are reduced together
CHUNK = 1 << 16  # numbers whose temporaries are alive at once
_LEAST, _MOST = -1200, 1100  # exponents of two in the table; a float64 as a whole number times 2^e has e between them


def reduced(x: Tensor, prime: int) -> Tensor:
    """Reduce x modulo `prime` in place, to -prime/2 .. prime/2, and return it; x holds integers up to 2^53 in size.

    Every multiple of `prime` becomes 0, because the quotient is rounded: an error of its last bits does not change
    the nearest integer.
    """
    return x.sub_((x * (1 / prime)).round_(), alpha=prime)


def residues(x: Tensor, prime: int) -> Tensor:
    """Return the residues of floating-point numbers x = m 2^e modulo an odd `prime`, in float64, in the shape of x.

    2 has an inverse modulo an odd prime, so that every finite float has a residue. The residue of a sum or product of
    floats in exact arithmetic is the sum or product of their residues.
    """
    out = torch.empty(x.shape, dtype=torch.float64, device=x.device)
    powers = _powers_of_two(prime).to(x.device)
    flat = x.reshape(-1)
    target = out.view(-1)
    for i in range(0, flat.numel(), CHUNK):
        mantissa, exponent = torch.frexp(flat[i : i + CHUNK].double())
        high = (mantissa * 2.0**33).trunc()
        low = (mantissa * 2.0**33 - high) * 2.0**20  # m 2^53 = high 2^20 + low, both integers
        whole = reduced(reduced(high, prime) * pow(2, 20, prime) + low, prime)
        target[i : i + CHUNK] = reduced(whole * powers[exponent.long() - 53 - _LEAST], prime)
    return out


def matmul_mod(A: Tensor, B: Tensor, prime: int) -> Tensor:
    """Return A B modulo `prime` for residues A (..., n, m) and B (m, k), by exact float64 products of 2^9 terms each.

    The product is computed tile by tile, so that a tile is reduced while it is in the cache of the processor.
    """
    rows = A.flatten(0, -2)
    out = rows.new_empty(len(rows), B.shape[1])
    for i in range(0, len(rows), TILE):
        for j in range(0, B.shape[1], TILE):
            out[i : i + TILE, j : j + TILE] = _tile(rows[i : i + TILE], B[:, j : j + TILE], prime)
    return out.view(*A.shape[:-1], B.shape[1])


def _tile(A: Tensor, B: Tensor, prime: int) -> Tensor:
    total = reduced(A[:, :INNER] @ B[:INNER], prime)
    for i in range(INNER, A.shape[1], INNER):
        total += reduced(A[:, i : i + INNER] @ B[i : i + INNER], prime)
    return total if A.shape[1] <= INNER else reduced(total, prime)


def lowest_bit(x: Tensor) -> int:
    """Return the largest e for which every number in x is an integer times 2^e; 0 where x has no nonzero number."""
    mantissa, exponent = torch.frexp(x[x != 0].double())
    if not len(mantissa):
        return 0
    whole = (mantissa * 2.0**53).long().abs()
    return int((torch.frexp((whole & -whole).double())[1] + exponent).min()) - 54


@cache
def _powers_of_two(prime: int) -> Tensor:
    table = torch.tensor([pow(2, e, prime) for e in range(_LEAST, _MOST)], dtype=torch.float64)
    return reduced(table, prime)
