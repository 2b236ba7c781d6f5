"""The rank of a factored Jacobian modulo its prime, on the side that costs less, and how often that falls short."""

import math
from dataclasses import dataclass

from scalecurv.linalg.modular_rank import SPARE, modular_rank
from scalecurv.linalg.residues import share_that_divides
from scalecurv.measures.rank.factors import JacobianFactors, random_residues
from scalecurv.measures.rank.minor_bits import MinorBits

SHARE = 2  # of the memory, 1/2 for the matrix that is eliminated


@dataclass(frozen=True)
class Side:
    """J J' of J (n, P) ("gram"), or `k` random combinations of its rows; `cost` in multiplications."""

    shape: tuple[int, int]
    gram: bool
    k: int
    cost: float

    def rank(self, factors: JacobianFactors) -> int:
        """rank J modulo the prime of `factors`, as long as it is at most k - SPARE: never above that of J itself."""
        if self.gram:
            return modular_rank(factors.gram(), factors.modulus)
        device = factors.rows[0].device
        if self.k >= factors.shape[0]:
            return modular_rank(factors.dense(), factors.modulus)
        weights = random_residues((self.k, factors.shape[0]), factors.modulus, 0, "combinations of rows", device)
        return modular_rank(factors.combined(weights), factors.modulus)

    def fits(self, memory: int) -> bool:
        """Whether what is eliminated takes no more than its share of the memory, in bytes."""
        n, P = self.shape
        return 8 * (n * n if self.gram else self.k * P) <= memory // SHARE

    def chance(self, bits: MinorBits, rank: int) -> float:
        """That a random prime divides a minor of this size that is not 0: the rank modulo it would fall short."""
        return share_that_divides(bits.of_gram(rank) if self.gram else bits.of_jacobian(rank))


def cheapest_side(shape: tuple[int, int], widths: int, most: int, memory: int) -> Side:
    """For a rank of at most `most`, and a layer's neurons adding up to `widths`."""
    n, P = shape
    k = min(most + SPARE, n)
    sides = [_gram(n, P, widths), _rows(n, P, k)]
    fitting = [side for side in sides if side.fits(memory)]
    return min(fitting or sides[:1], key=lambda side: side.cost)


def surest_side(shape: tuple[int, int], widths: int, most: int, memory: int) -> Side:
    """J itself rather than J J', whose minors are squares with twice as many primes in them: at four times the cost."""
    n, P = shape
    gram, rows = _gram(n, P, widths), _rows(n, P, min(most + SPARE, n))
    return rows if rows.fits(memory) and rows.cost <= 4 * gram.cost else gram


def rows_that_fit(memory: int) -> int:
    """Rows n of J whose J J', n x n, takes its share of the memory."""
    return max(1, math.isqrt(memory // SHARE // 8))


def combinations_fit(k: int, num_params: int, memory: int) -> bool:
    """Whether k combinations of rows of J, and SPARE more, take no more than their share of the memory, in bytes."""
    return 8 * (k + SPARE) * num_params <= memory // SHARE


def _gram(n: int, P: int, widths: int) -> Side:
    return Side((n, P), True, n, n * n * (widths + 2 * n / 3))


def _rows(n: int, P: int, k: int) -> Side:
    combining = float(n * k * P) if k < n else 0.0
    return Side((n, P), False, k, combining + float(k) * min(k, P) * P)
