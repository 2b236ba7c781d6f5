"""The rank of a factored Jacobian modulo its prime, on the side that costs less."""

import math

from scalecurv.curvature.cell import random_residues
from scalecurv.curvature.factors import JacobianFactors
from scalecurv.linalg.modular_rank import modular_rank

SPARE = 8  # combinations of rows beyond what the rank can be: one of p^SPARE draws hides some of it
SHARE = 2  # of the memory, 1/2 for the matrix that is eliminated


def modular_jacobian_rank(factors: JacobianFactors, most: int, memory: int) -> int:
    """rank J modulo the prime of `factors`, at most `most`: from J J', or from `most` random combinations of rows.

    Either way it is at most the rank of J in exact arithmetic, and short of it for few primes only.
    """
    assert factors.prime is not None
    (n, P), k = factors.shape, min(most + SPARE, factors.shape[1])
    by_rows = n <= rows_that_fit(memory) and _gram_cost(factors) <= _combined_cost(n, P, k)
    if n <= k or by_rows or not combinations_fit(k, P, memory):
        return modular_rank(factors.gram(), factors.prime)
    weights = random_residues((k, n), factors.prime, 0, "combinations of rows", factors.rows[0].device)
    return modular_rank(factors.combined(weights), factors.prime)


def rows_that_fit(memory: int) -> int:
    """Rows n of J whose J J', n x n, takes its share of the memory."""
    return max(1, math.isqrt(memory // SHARE // 8))


def combinations_fit(k: int, num_params: int, memory: int) -> bool:
    return 8 * k * num_params <= memory // SHARE


def cost(factors_shape: tuple[int, int], widths: int, most: int) -> float:
    """Multiplications of the cheaper side, for J of this shape."""
    n, P = factors_shape
    k = min(most + SPARE, P)
    gram = n * n * (widths + 2 * n / 3)
    return gram if n <= k else min(gram, _combined_cost(n, P, k))


def _gram_cost(factors: JacobianFactors) -> float:
    n = factors.shape[0]
    return n * n * (sum(r.shape[2] for r in factors.rows) + 2 * n / 3)


def _combined_cost(n: int, P: int, k: int) -> float:
    return float(n * k * P + k * k * P)
