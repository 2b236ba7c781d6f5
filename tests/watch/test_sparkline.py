"""A row of blocks: the lowest is the smallest, gaps stay gaps, and decades are shown as decades."""

import math

import pytest

from scalecurv.watch.sparkline import BLOCKS, is_logarithmic, sparkline

NAN = math.nan


def test_blocks_rise_with_the_values() -> None:
    assert sparkline([float(i) for i in range(8)], 8) == BLOCKS
    assert sparkline([-7.0, 7.0, 0.0], 8) == "▁█▅"
    assert sparkline([7.0, 0.0], 8) == "█▁"


def test_decades_are_equal_steps() -> None:
    assert sparkline([10.0**i for i in range(8)], 8) == BLOCKS
    assert sparkline([1.0, 10.0, 99.0], 8) == "▁▂█"  # less than two decades: a linear scale


@pytest.mark.parametrize("worst", [NAN, math.inf, -math.inf])
def test_what_is_no_number_is_a_gap(worst: float) -> None:
    assert sparkline([0.0, worst, 1.0], 8) == "▁ █"
    assert sparkline([1.0, worst, 1000.0], 8) == "▁ █"
    assert sparkline([worst, worst], 8) == "  "


def test_one_value_and_none() -> None:
    assert (sparkline([3.0], 8), sparkline([], 8), sparkline([0.0, 0.0], 8)) == ("▄", "", "▄▄")


def test_groups_keep_the_last_value_that_is_there() -> None:
    values = [0.0, 5.0, 7.0, NAN, NAN, NAN, 1.0, 0.0]
    assert sparkline(values, 4) == "▆█ ▁"
    assert len(sparkline([1.0] * 1001, 10)) == 10
    assert sparkline([*range(100), 700.0], 3)[-1] == "█"  # the last checkpoint is always there


def test_a_scale_is_logarithmic_over_positive_decades_alone() -> None:
    assert is_logarithmic([1e-3, 1.0])
    assert not is_logarithmic([0.0, 1e9])
    assert not is_logarithmic([])


def test_the_largest_and_the_smallest_floats() -> None:
    assert sparkline([-1.7e308, 0.0, 1.7e308], 8) == "▁▅█"
    assert sparkline([0.0, 5e-324], 8) == "▁█"
