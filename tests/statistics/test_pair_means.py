"""Means over pairs of draws: the sums and errors of the definition, and intervals that hold."""

import math
from itertools import combinations

import numpy as np
import pytest

from scalecurv.statistics.estimate import Status
from scalecurv.statistics.pairs import (
    Part,
    bounded_pair_interval,
    mean_part,
    on_log_scale,
    pair_part,
    sum_estimate,
)


def row_means(kernel: np.ndarray) -> np.ndarray:
    """Return the mean of each row without the diagonal."""
    return (kernel.sum(1) - np.diag(kernel)) / (len(kernel) - 1)


def test_the_standard_error_is_the_jackknife_s() -> None:
    x = np.random.default_rng(0).exponential(size=9)
    kernel = np.multiply.outer(x, x) ** 2
    found, n = pair_part(row_means(kernel)), len(x)

    def statistic(left: list[int]) -> float:
        return float(np.mean([kernel[a, b] for a, b in combinations(left, 2)]))

    without = np.array([statistic([b for b in range(n) if b != a]) for a in range(n)])
    assert found.value == pytest.approx(statistic(list(range(n))))
    assert found.stderr == pytest.approx(math.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))


def test_a_sum_has_the_freedom_of_its_uncertain_part() -> None:
    few, many = Part(1.0, 1.0, 7), Part(2.0, 1e-6, 400)
    assert sum_estimate([few, many], 401, "sum", 3).halfwidth == pytest.approx(2.3646, rel=1e-4)  # t with 7
    assert sum_estimate([Part(1.0, 1e-6, 7), Part(2.0, 1.0, 400)], 401, "sum", 3).halfwidth == pytest.approx(
        1.9659, rel=1e-4
    )
    known = sum_estimate([Part(1.0, 0.0, 7), Part(2.0, 0.0, 400)], 401, "sum", 3)
    assert (known.value, known.lower, known.upper) == (3.0, 3.0, 3.0)
    assert sum_estimate([Part(math.inf, 1.0, 7)], 8, "sum", 3).status is Status.FAILED


def test_third_cumulants_add() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.exponential(size=50), -rng.exponential(size=50)
    alone = [sum_estimate([mean_part(z)], 50, "sum", 0) for z in (x, x - y)]
    both = sum_estimate([mean_part(x), mean_part(x)], 50, "sum", 0)
    assert both.halfwidth < math.sqrt(2) * alone[0].halfwidth  # the sum is less skewed than each
    assert both.value == pytest.approx(2 * alone[0].value)


def test_the_logarithm_s_interval_is_wider_above() -> None:
    found = sum_estimate([Part(10.0, 2.0, 60)], 61, "sum", 0)
    turned = on_log_scale(found, 10.0)
    assert turned.lower > found.lower
    assert turned.upper > found.upper
    assert turned.upper * turned.lower == pytest.approx(100.0)
    assert on_log_scale(found, -1.0) == found
    wild = on_log_scale(sum_estimate([Part(1e-3, 2.0, 60)], 61, "sum", 0), 1e-3)
    assert math.isfinite(wild.upper)
    assert wild.upper >= 2.0


def test_the_proven_interval_solves_bernstein_s_inequality() -> None:
    value, n, b, chance = 0.3, 101, 1.2, 0.05
    low, high = bounded_pair_interval(value, n, b, chance)
    level, m = math.log(2 / chance), 50
    for end in (low, high):
        assert abs(end - value) == pytest.approx(math.sqrt(2 * b * end * level / m) + b * level / (3 * m))
    assert bounded_pair_interval(0.0, 16, 1.0, 0.05)[0] == 0.0
    assert bounded_pair_interval(1.0, 16, 1.0, 0.05)[1] == 1.0


def test_the_proven_interval_holds_for_the_most_uncertain_kernel() -> None:
    """k(a, b) = 1 where both draws are of a class of probability q, else 0: of all kernels in [0, 1] the widest."""
    rng, missed, q = np.random.default_rng(2), 0, 0.5
    for _ in range(300):
        x = (rng.random(20) < q).astype(float)
        low, high = bounded_pair_interval(pair_part(row_means(np.multiply.outer(x, x))).value, 20, 1.0, 0.05)
        missed += not low <= q * q <= high
    assert missed <= 15
