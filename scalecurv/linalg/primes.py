"""Random primes that are small enough for exact products in float64."""

from scalecurv.linalg.probes import generator

BITS = 22  # residues lie within +-2^22, so that 2^9 products of two of them add up below 2^53
NUM_PRIMES = 268_216  # primes between 2^22 and 2^23


def random_primes(count: int, seed: int) -> tuple[int, ...]:
    """`count` different primes between 2^22 and 2^23, drawn uniformly: nothing about the data can be aimed at them."""
    rng = generator(seed, "primes", 0)
    primes: list[int] = []
    while len(primes) < count:
        candidate = int(rng.integers(1 << BITS, 2 << BITS)) | 1
        if candidate not in primes and _is_prime(candidate):
            primes.append(candidate)
    return tuple(primes)


def share_that_divides(bits: float) -> float:
    """The largest share of these primes that can divide one whole number of so many bits, other than 0."""
    return 1.0 if bits >= BITS * NUM_PRIMES else bits // BITS / NUM_PRIMES


def _is_prime(odd: int) -> bool:
    return all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))
