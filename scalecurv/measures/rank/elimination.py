"""The rank of a factored Jacobian modulo a prime, by the cheaper elimination, and the chance that it is too small."""

import math
from dataclasses import dataclass

from scalecurv.linalg.modular_rank import SPARE, modular_rank, symmetric_modular_rank
from scalecurv.linalg.residues import share_that_divides
from scalecurv.measures.rank.factors import JacobianFactors, random_residues
from scalecurv.measures.rank.minor_bits import MinorBits

SHARE = 2  # the matrix that is eliminated may take 1 / SHARE of the memory


@dataclass(frozen=True)
class Side:
    """A matrix whose elimination gives the rank of J of `shape` (n, P).

    It is J J' if `gram`, else J combined to `k` random combinations of its rows. `cost` counts multiplications.
    """

    shape: tuple[int, int]
    gram: bool
    k: int
    cost: float

    def rank(self, factors: JacobianFactors) -> int:
        """Return the rank of J modulo the prime of `factors`, which is never above the rank of J.

        With combinations of rows it can be found only up to k - SPARE.
        """
        if self.gram:
            return symmetric_modular_rank(factors.gram(), factors.modulus)
        device = factors.rows[0].device
        if self.k >= factors.shape[0]:
            return modular_rank(factors.dense(), factors.modulus)
        weights = random_residues((self.k, factors.shape[0]), factors.modulus, 0, "combinations of rows", device)
        return modular_rank(factors.combined(weights), factors.modulus)

    def fits(self, memory: int) -> bool:
        """Return True where the matrix takes at most its share of `memory` bytes."""
        n, P = self.shape
        return 8 * (n * n if self.gram else self.k * P) <= memory // SHARE

    def chance(self, bits: MinorBits, rank: int) -> float:
        """Return a bound on the chance that a random prime divides a minor of size `rank` that is not 0.

        Modulo such a prime the rank can be too small.
        """
        return share_that_divides(bits.of_gram(rank) if self.gram else bits.of_jacobian(rank))


def cheapest_side(shape: tuple[int, int], widths: int, most: int, memory: int) -> Side:
    """Return the cheapest matrix that fits into the memory, for a rank of at most `most`; J J' where none fits.

    `shape` (n, P) is that of J, and `widths` the sum of the widths of all layers but the input.
    """
    n, P = shape
    k = min(most + SPARE, n)
    sides = [_gram(n, P, widths), _rows(n, P, k)]
    fitting = [side for side in sides if side.fits(memory)]
    return min(fitting or sides[:1], key=lambda side: side.cost)


def surest_side(shape: tuple[int, int], widths: int, most: int, memory: int) -> Side:
    """Return rows of J where they fit and cost at most eight times as much as J J', else J J'.

    Rows are surer: the minors of J J' are sums of squares of those of J, which twice as many primes can divide.
    """
    n, P = shape
    gram, rows = _gram(n, P, widths), _rows(n, P, min(most + SPARE, n))
    return rows if rows.fits(memory) and rows.cost <= 8 * gram.cost else gram


def rows_that_fit(memory: int) -> int:
    """Return the number n of rows of J for which J J', of shape (n, n), takes its share of `memory` bytes.

    Example:
        >>> rows_that_fit(1600)
        10
    """
    return max(1, math.isqrt(memory // SHARE // 8))


def combinations_fit(k: int, num_params: int, memory: int) -> bool:
    """Return True where k + SPARE combinations of rows of J take at most their share of `memory` bytes."""
    return 8 * (k + SPARE) * num_params <= memory // SHARE


def _gram(n: int, P: int, widths: int) -> Side:
    return Side((n, P), True, n, n * n * (widths + 2 * n / 3) / 2)  # half of it, as it is symmetric


def _rows(n: int, P: int, k: int) -> Side:
    combining = float(n * k * P) if k < n else 0.0
    return Side((n, P), False, k, combining + float(k) * min(k, P) * P)
