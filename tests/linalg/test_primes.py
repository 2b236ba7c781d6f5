"""Random primes of one range, their number, and the share of them that can divide one integer."""

import math
from functools import cache

import numpy as np
import pytest

from scalecurv.linalg.residues import NUM_PRIMES, random_primes, share_that_divides

LEAST, MOST = 1 << 22, 1 << 23


@cache
def sieved() -> np.ndarray:
    """Return all primes between 2^22 and 2^23, by the sieve of Eratosthenes."""
    prime = np.ones(MOST, dtype=bool)
    prime[:2] = False
    for i in range(2, math.isqrt(MOST) + 1):
        if prime[i]:
            prime[i * i :: i] = False
    return LEAST + np.flatnonzero(prime[LEAST:])


def test_the_number_of_primes_is_that_of_the_sieve() -> None:
    assert len(sieved()) == NUM_PRIMES


def test_every_number_drawn_is_a_prime_of_the_range_and_none_comes_twice() -> None:
    drawn = random_primes(400, 3)
    assert len(drawn) == len(set(drawn)) == 400
    assert set(drawn) <= set(sieved().tolist())
    assert all(type(prime) is int for prime in drawn)


def test_a_prime_that_comes_again_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn from five numbers, the two primes among them must both appear, and each once."""
    p, q = sieved()[:2].tolist()

    class FewNumbers:
        def __init__(self) -> None:
            self.left = [p, p, p + 1, p, q]

        def integers(self, low: int, high: int) -> int:
            assert (low, high) == (LEAST, MOST)
            return self.left.pop(0)

    monkeypatch.setattr("scalecurv.linalg.residues.generator", lambda *_: FewNumbers())
    assert random_primes(2, 0) == (p, q)


@pytest.mark.parametrize("square", [2053**2, 2069**2, 2887**2, 2053 * 2063])
def test_the_square_of_a_prime_is_no_prime(square: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its only divisor other than 1 and itself is the last that has to be tried."""
    p = int(sieved()[0])
    numbers = iter([square, p])
    source = type("Source", (), {"integers": lambda self, low, high: next(numbers)})
    monkeypatch.setattr("scalecurv.linalg.residues.generator", lambda *_: source())
    assert LEAST < square < MOST
    assert random_primes(1, 0) == (p,)


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    longest = random_primes(12, 5)
    for count in range(12):
        assert random_primes(count, 5) == longest[:count]


def test_the_seed_draws_them() -> None:
    draws = {seed: set(random_primes(10, seed)) for seed in range(5)}
    assert len(set().union(*draws.values())) >= 49  # 268216 primes: a single coincidence would be rare


def test_the_draws_are_a_promise() -> None:
    """Ranks in a store were found with them: should these change, the version of the measure must rise."""
    assert random_primes(3, 0) == (6123059, 5400091, 7736647)


def test_they_are_drawn_uniformly() -> None:
    """The number below each eighth of the sieved primes is binomial; so is that of each residue modulo 8."""
    ranks = np.searchsorted(sieved(), random_primes(1600, 1))
    counts = np.bincount(ranks * 8 // NUM_PRIMES, minlength=8)
    assert np.abs(counts - 200).max() < 4 * (200 * 7 / 8) ** 0.5
    residues = np.bincount(np.array(random_primes(1600, 2)) % 8, minlength=8)
    assert residues[::2].sum() == 0
    assert np.abs(residues[1::2] - 400).max() < 4 * (400 * 3 / 4) ** 0.5


def test_22_bits_for_a_prime() -> None:
    for bits, primes in [
        (0, 0),
        (1, 0),
        (21.99, 0),
        (22, 1),
        (43.5, 1),
        (44, 2),
        (22 * 1000, 1000),
        (22 * NUM_PRIMES - 1, NUM_PRIMES - 1),
    ]:
        assert share_that_divides(bits) == primes / NUM_PRIMES


def test_a_product_of_the_smallest_primes_is_the_worst_case() -> None:
    """A number that k primes divide has a share of k of them or more, and the product of the k smallest no more."""
    for k in [1, 2, 7, 60, 400]:
        smallest, largest = math.prod(sieved()[:k].tolist()), math.prod(sieved()[-k:].tolist())
        assert share_that_divides(math.log2(smallest)) == k / NUM_PRIMES
        assert share_that_divides(math.log2(largest)) >= k / NUM_PRIMES


def test_the_share_grows_with_the_bits_up_to_one() -> None:
    shares = [share_that_divides(bits) for bits in np.linspace(0, 23 * NUM_PRIMES, 2000)]
    assert shares == sorted(shares)
    assert max(shares) == shares[-1] == share_that_divides(22 * NUM_PRIMES) == share_that_divides(math.inf) == 1
