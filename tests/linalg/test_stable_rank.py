"""Two ratios of power sums against closed forms, and their intervals from a short sketch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.ranks import participation_ratio, stable_rank
from scalecurv.linalg.singular_values import SingularValues, dense_values, gram_values, singular_values
from scalecurv.statistics.estimate import Estimate, Status
from tests.matrices import rectangular

Ratio = Callable[[SingularValues], Estimate]
RATIOS: list[Ratio] = [stable_rank, participation_ratio]
SINGULAR = {
    "equal": np.full(30, 2.0),
    "line": np.linspace(3, 1, 40),
    "powers of two": 0.5 ** np.arange(20),
    "slow decay": 1.0 / np.arange(1, 101),
    "one": np.array([7.0]),
    "full": np.linspace(2, 1, 100),
}


def truth(ratio: Ratio, sigma: np.ndarray) -> float:
    squares = sigma**2
    return squares.sum() / squares[0] if ratio is stable_rank else squares.sum() ** 2 / (squares**2).sum()


def given(
    values: list[float], error: float | list[float] = 0.0, complete: bool = True, side: int = 9
) -> SingularValues:
    error = np.array(error) if isinstance(error, list) else error
    return SingularValues(np.array(values), error, complete, (12, side), 33)


def test_the_ratio_of_a_known_spectrum() -> None:
    for ratio in RATIOS:
        for shape in [(160, 100), (100, 160)]:
            for spectrum in SINGULAR:
                A, wanted = rectangular(*shape, SINGULAR[spectrum]), truth(ratio, SINGULAR[spectrum])
                for singular in (dense_values(A), gram_values(A @ A.T, shape[1], shape)):
                    found = ratio(singular)
                    assert found.value == pytest.approx(wanted, rel=1e-9)
                    assert found.lower <= found.value <= found.upper
                    assert found.lower <= wanted * (1 + 1e-12)
                    assert found.upper >= wanted * (1 - 1e-12)
                    assert found.value <= min(shape) * (1 + 1e-12)
                    assert (found.status, found.confidence, found.num_samples) == (Status.CONVERGED, 1.0, 0)
                    assert np.isnan(found.stderr)


def test_closed_forms() -> None:
    """Both ratios of n equal values are n; those of all powers of 1/2 are 4/3 and 5/3."""
    for n in (1, 4, 9):
        assert stable_rank(given([3.0] * n)).value == participation_ratio(given([3.0] * n)).value == n
    powers = given([0.5**i for i in range(9)])
    q = 1 / 4
    assert stable_rank(powers).value == pytest.approx((1 - q**9) / (1 - q), rel=1e-12)
    assert participation_ratio(powers).value == pytest.approx(5 / 3 * (1 - q**9) / (1 + q**9), rel=1e-12)
    assert stable_rank(powers).method == "sum sigma^2 / sigma_1^2"
    assert participation_ratio(powers).method == "(sum sigma^2)^2 / sum sigma^4"
    assert stable_rank(powers).num_matvecs == participation_ratio(powers).num_matvecs == 33


def test_short_of_memory_the_interval_holds_the_ratio() -> None:
    for ratio in RATIOS:
        for vectors in [3, 10, 30]:
            for spectrum in [name for name in SINGULAR if name != "one"]:
                A = rectangular(160, 100, SINGULAR[spectrum])
                singular = singular_values(DenseOperator(A), 0, vectors * (2 * 160 + 100) * 8)
                found, wanted = ratio(singular), truth(ratio, SINGULAR[spectrum])
                assert len(singular.values) == vectors
                assert found.lower <= wanted * (1 + 1e-12)
                assert found.upper >= wanted * (1 - 1e-12)
                assert found.confidence == 1 - 1e-10
                assert found.lower <= found.value <= found.upper
                if found.status is Status.LOWER_BOUND:
                    assert found.value == found.lower
                    assert found.upper <= 100
                else:
                    assert found.status is Status.CONVERGED
                    assert found.upper <= 1.02 * found.lower
                if vectors == 3:
                    assert found.status is Status.LOWER_BOUND


def test_what_the_error_leaves_open() -> None:
    """Never below 1, which every matrix but 0 has."""
    for singular, stable, participation in [
        (given([2.0, 1.0]), (5 / 4, 5 / 4), (25 / 17, 25 / 17)),
        (given([2.0, 1.0], 0.5), (5 / 6.25, 8.5 / 4), (25 / (2.5**4 + 1.5**4), 8.5**2 / 17)),
        (given([2.0, 1.0], [0.0, 0.5]), (5 / 4, 6.25 / 4), (25 / (16 + 1.5**4), 6.25**2 / 17)),
        (given([2.0, 1.0], 0.5, False), (5 / 6.25, 10.25 / 4), (25 / (2.5**4 + 1.5**4 + 7 / 16), 10.25**2 / 17)),
        (given([2.0, 1.0], [0.0, 0.5], False), (5 / 4, 8 / 4), (25 / (16 + 1.5**4 + 7 / 16), 8**2 / 17)),
        (given([2.0, 1.0], [0.5, 0.0], False), (5 / 6.25, 9 / 4), (25 / (2.5**4 + 1 + 7 / 16), 9**2 / 17)),
        (given([2.0, 1.0], 2.0, False), (5 / 16, 9), (25 / (256 + 81 + 7 * 16), 9)),  # the sides end them
        (given([0.0, 0.0], 1.0, False), (0, 9), (0, 9)),
        (given([0.0], [1e-9], True, 1), (0, 1), (0, 1)),
    ]:
        for found, (low, upper) in ((stable_rank(singular), stable), (participation_ratio(singular), participation)):
            lower = max(low, 1.0) if singular.values[0] else low
            assert (found.lower, found.upper) == pytest.approx((lower, upper), rel=1e-12)
            exact = lower == upper
            assert found.status is (Status.CONVERGED if exact else Status.LOWER_BOUND)
            assert found.value == pytest.approx(lower)
            assert found.confidence == (1.0 if singular.complete else 1 - 1e-10)


@pytest.mark.parametrize(("error", "status"), [(0.0099, Status.CONVERGED), (0.0101, Status.LOWER_BOUND)])
def test_an_interval_of_two_percent_is_sharp(error: float, status: Status) -> None:
    """The error of a small value beside a large one gives the interval 1 .. 1 + 2 error."""
    found = stable_rank(given([1.0, 0.0], [0.0, (2 * error) ** 0.5]))
    assert found.status is status
    assert (found.lower, found.upper) == pytest.approx((1, 1 + 2 * error))
    assert found.value == pytest.approx(1 + error if status is Status.CONVERGED else 1)


def test_of_nothing_there_is_no_ratio() -> None:
    for ratio in RATIOS:
        for singular in [given([0.0, 0.0]), given([0.0], [0.0]), given([0.0, 0.0], 0.0, False)]:
            found = ratio(singular)
            assert (found.status, found.method) == (Status.NOT_APPLICABLE, "J is zero")
            assert np.isnan(found.value)
            zero = torch.zeros(7, 3, dtype=torch.float64)
            assert (
                ratio(dense_values(zero)).status is ratio(gram_values(zero @ zero.T, 3, (7, 3))).status is found.status
            )


def test_neither_is_above_the_smaller_side() -> None:
    for ratio in RATIOS:
        for error in [0.01, 0.1, 1.0]:
            found = ratio(given([1.0] * 9, error))
            assert (found.status, found.upper, found.lower) == (Status.LOWER_BOUND, 9.0, found.value)
            assert found.lower < 9
