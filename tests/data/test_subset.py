"""Samples drawn by a seed: no more than were wanted, in their order, and more of them when more are wanted."""

from itertools import pairwise

import numpy as np
import pytest

from scalecurv.data.load import chosen


def test_the_draw_depends_on_the_seed_and_the_numbers_alone() -> None:
    rows = chosen(40, 7, 10)
    assert rows is not None
    assert rows.tolist() == [5, 7, 8, 15, 28, 36, 37]
    assert not np.array_equal(chosen(40, 7, 11), rows)


@pytest.mark.parametrize("wanted", [None, 40, 41])
def test_all_are_taken_where_no_fewer_are_wanted(wanted: int | None) -> None:
    assert chosen(40, wanted, 0) is None


def test_more_samples_are_the_same_and_others() -> None:
    drawn = [chosen(1000, n, 0) for n in range(1, 1000, 37)]
    for rows, more in pairwise(drawn):
        assert (np.diff(rows) > 0).all()
        assert set(rows) < set(more)
        assert len(more) == len(rows) + 37


def test_every_sample_is_as_likely_as_any_other() -> None:
    """400 draws of 30 of 100: each sample 120 times, give or take 9.2; a normal tail of 5 sigma is 6e-7."""
    counts = np.bincount(np.concatenate([chosen(100, 30, seed) for seed in range(400)]), minlength=100)
    assert counts.sum() == 12000
    assert abs(counts - 120).max() < 5 * np.sqrt(400 * 0.3 * 0.7)
