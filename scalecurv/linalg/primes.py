"""Random primes that are small enough for exact products in float64."""

from scalecurv.linalg.probes import generator

LARGEST = 1 << 20  # residues lie within +-2^19, so that 2^14 products of two of them add up below 2^53


def random_primes(count: int, seed: int) -> tuple[int, ...]:
    """`count` different primes between 2^19 and 2^20, drawn uniformly: nothing about the data can be aimed at them."""
    rng = generator(seed, "primes", 0)
    primes: list[int] = []
    while len(primes) < count:
        candidate = int(rng.integers(LARGEST // 2, LARGEST)) | 1
        if candidate not in primes and _is_prime(candidate):
            primes.append(candidate)
    return tuple(primes)


def _is_prime(odd: int) -> bool:
    return all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))
