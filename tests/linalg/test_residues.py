"""Exact arithmetic modulo a prime against Python's integers and fractions, up to the largest numbers allowed."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scalecurv.linalg.residues import INNER, lowest_bit, matmul_mod, reduced, residues

PRIMES = [4194319, 6291469, 8388593]  # the smallest and the largest prime between 2^22 and 2^23, and one between
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def residue(x: float, prime: int) -> int:
    numerator, denominator = Fraction(x).as_integer_ratio()
    return numerator * pow(denominator, -1, prime) % prime


def assert_residues(found: Tensor, wanted: list[int], prime: int) -> None:
    numbers = [int(x) for x in found.reshape(-1).tolist()]
    assert found.dtype == torch.float64
    assert found.reshape(-1).tolist() == numbers  # whole
    assert [x % prime for x in numbers] == [x % prime for x in wanted]
    assert all(abs(x) <= prime // 2 for x in numbers)


def test_residues_are_those_of_the_fractions() -> None:
    for prime in [3, 5, 65537, *PRIMES]:
        for dtype in [torch.float64, torch.float32, torch.float16, torch.int64]:
            rng = np.random.default_rng(0)
            x = torch.from_numpy(rng.standard_normal(300) * 10.0 ** rng.uniform(-4, 4, 300)).to(dtype)
            assert_residues(residues(x, prime), [residue(value, prime) for value in x.tolist()], prime)


@pytest.mark.parametrize("prime", PRIMES)
def test_residues_of_the_extreme_floats(prime: int) -> None:
    extreme = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-310, 1.7976931348623157e308, -1e300, 2.0**53 - 1, 2.0**1023]
    extreme += [float(prime), -3.0 * prime, prime / 2**60, 1 + 2.0**-52, 1 - 2.0**-53, -(2.0**-1022)]
    x = torch.tensor(extreme, dtype=torch.float64)
    assert_residues(residues(x, prime), [residue(value, prime) for value in extreme], prime)
    single = torch.tensor([1e-45, 1.17e-38, 3.4e38, 0.1], dtype=torch.float32)
    assert_residues(residues(single, prime), [residue(value, prime) for value in single.tolist()], prime)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(values=st.lists(FLOATS, min_size=1, max_size=9), prime=st.sampled_from(PRIMES))
def test_residues_of_any_float(values: list[float], prime: int) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    assert_residues(residues(x, prime), [residue(value, prime) for value in values], prime)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 22])
def test_residues_in_chunks_keep_the_shape_and_leave_the_input_alone(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalecurv.linalg.residues.CHUNK", chunk)
    whole = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 8, 5)))
    for x in (whole, whole[:, ::2].transpose(0, 2), whole[0].T, whole[0, 0, 0], whole[:0]):
        before, found = x.clone(), residues(x, PRIMES[0])
        assert found.shape == x.shape
        assert torch.equal(x, before)
        assert_residues(found, [residue(value, PRIMES[0]) for value in x.reshape(-1).tolist()], PRIMES[0])


def test_reduced_is_in_place_congruent_and_at_most_half_the_prime() -> None:
    """Near 2^53 the rounded quotient may be off by 2^-21, which moves a remainder past the half by 2 at most."""
    for prime in PRIMES:
        for bits in [24, 44, 51, 53]:
            rng = np.random.default_rng(bits)
            limit = 2**bits
            whole = [limit, -limit, limit - 1, *rng.integers(-limit, limit, 4001).tolist(), *range(limit - 999, limit)]
            whole += [
                q * prime + half
                for q in rng.integers(0, limit // prime - 1, 500).tolist()
                for half in (prime // 2, 1, -1)
            ]
            x = torch.tensor(whole, dtype=torch.float64)
            found = reduced(x, prime)
            assert found is x
            assert [int(value) % prime for value in x.tolist()] == [value % prime for value in whole]
            assert float(x.abs().max()) <= prime // 2 + (2 if bits > 44 else 0)


@pytest.mark.parametrize("prime", [3, *PRIMES])
def test_of_the_multiples_of_a_prime_zero_is_left(prime: int) -> None:
    rng = np.random.default_rng(2)
    most = 2**53 // prime
    quotients = [0, 1, -1, most, -most, most - 1, *rng.integers(-most, most, 5000).tolist()]
    assert int(reduced(torch.tensor([q * prime for q in quotients], dtype=torch.float64), prime).count_nonzero()) == 0


def exact_product(A: Tensor, B: Tensor) -> list[int]:
    left, right = A.to(torch.int64).numpy().astype(object), B.to(torch.int64).numpy().astype(object)
    return (left @ right).reshape(-1).tolist()


def test_products_are_exact_for_the_largest_residues() -> None:
    """All entries are within 8 of half the prime and of one sign: a 513th product would pass 2^53."""
    for prime in PRIMES:
        for inner in [0, 1, 17, INNER - 1, INNER, INNER + 1, 2 * INNER, 1300]:
            for sign in ["same", "random"]:
                rng = np.random.default_rng(inner)
                A, B = (
                    torch.from_numpy(prime // 2 - rng.integers(0, 8, shape).astype(float))
                    for shape in [(6, inner), (inner, 5)]
                )
                if sign == "random":
                    A *= torch.from_numpy(rng.choice([-1.0, 1.0], A.shape))
                assert_products(matmul_mod(A, B, prime), A, B, prime)
                assert_products(matmul_mod(-A, B, prime), -A, B, prime)


def assert_products(found: Tensor, A: Tensor, B: Tensor, prime: int) -> None:
    assert found.shape == (*A.shape[:-1], B.shape[-1])
    assert [int(x) % prime for x in found.reshape(-1).tolist()] == [x % prime for x in exact_product(A, B)]
    assert float(found.abs().max()) <= prime // 2 + 2


def test_a_batch_on_the_left_multiplies_matrix_by_matrix() -> None:
    prime, rng = PRIMES[2], np.random.default_rng(3)
    A, B = (
        torch.from_numpy(rng.integers(-prime // 2 + 1, prime // 2, s).astype(float)) for s in [(2, 3, 4, 700), (700, 5)]
    )
    before = A.clone(), B.clone()
    found = matmul_mod(A, B, prime)
    assert_products(found, A, B, prime)
    assert torch.equal(found[1, 2], matmul_mod(A[1, 2], B, prime))
    assert torch.equal(
        matmul_mod(A[0, 0].T[:4].T, B.T[:, :4].T, prime), matmul_mod(A[0, 0, :, :4].clone(), B[:4], prime)
    )
    assert torch.equal(A, before[0])
    assert torch.equal(B, before[1])


def lowest(values: list[float]) -> int:
    """Return the least power of two in a numerator, less that of its denominator."""
    parts = [Fraction(x).as_integer_ratio() for x in values if x]
    return min(((n & -n).bit_length() - d.bit_length() for n, d in parts), default=0)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(values=st.lists(FLOATS, max_size=9))
def test_the_lowest_bit_is_that_of_the_fractions(values: list[float]) -> None:
    assert lowest_bit(torch.tensor(values, dtype=torch.float64)) == lowest(values)


def test_the_lowest_bit_by_hand() -> None:
    for values, exponent in [
        *[([0.0, 0.0], 0), ([], 0), ([1.0], 0), ([-3.0, 4.0], 0), ([12.0, 0.0, -40.0], 2), ([0.75, 8.0], -2)],
        *[([5e-324], -1074), ([1e-310, 1.0], -1074), ([2.0**-1022], -1022), ([2.0**1023], 1023), ([2.0**53 - 1], 0)],
    ]:
        x = torch.tensor(values, dtype=torch.float64)
        assert lowest_bit(x) == lowest_bit(x[None, :]) == exponent == lowest(values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_the_lowest_bit_of_other_types(dtype: torch.dtype) -> None:
    x = torch.tensor([[6, 40], [0, -1000]], dtype=dtype)
    assert lowest_bit(x) == 1
    assert lowest_bit(x[:, 1]) == 3
