"""Scales and limits: chosen by the data, in sight of all values, not taken over by one interval."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from scalecurv.errors import Misuse
from scalecurv.plot.axes import Scale, limits, narrowed, step_scale, tidy_ticks, value_scale

NONE = np.full(1, np.nan)


def test_steps_are_linear_unless_they_are_spaced_geometrically() -> None:
    cases: list[tuple[list[float], str]] = [
        ([0, 100, 200, 300], "linear"),
        (list(range(100, 10001, 100)), "linear"),  # a hundredfold, and evenly spaced
        ([1, 3, 7, 17, 45, 116, 300], "log"),
        ([0, 1, 3, 7, 17, 45, 116, 300], "symlog"),
        ([7], "linear"),
        ([0, 10**9], "linear"),
        ([0], "linear"),
        ([1, 2, 4], "linear"),  # too few to tell
    ]
    for steps, kind in cases:
        assert step_scale(np.array(steps, dtype=float)).kind == kind, steps


def test_step_0_is_in_sight_on_a_logarithmic_axis() -> None:
    for kind in ("auto", "log"):
        scale = step_scale(np.array([0, 2, 4, 8, 16, 32, 64.0]), kind)
        assert (scale.kind, scale.threshold) == ("symlog", 2)
        at_0, first, last = scale.places([0, 2, 64])
        assert 0.05 < (first - at_0) / (last - at_0) < 0.35  # it takes a small part of the axis
    assert step_scale(np.array([5.0, 6.0]), "log").kind == "log"


def test_values_are_logarithmic_where_they_span_decades() -> None:
    cases: list[tuple[list[float], str]] = [
        ([1, 2, 3], "linear"),
        ([0.01, 1], "log"),
        ([-1, 1, 2], "linear"),
        ([-0.5, 40, 1e4], "symlog"),
        ([0, 0], "linear"),
        ([0, 1e-9, 1], "symlog"),
        ([-5, -6], "linear"),
    ]
    for values, kind in cases:
        value = np.array(values, dtype=float)
        assert value_scale(value, value, value).kind == kind, values


def test_every_point_that_may_be_zero_is_in_the_linear_part() -> None:
    value = np.array([2.0, 5e3, 1e5])
    scale = value_scale(value, *(value + sign * np.array([5, 1, 1]) for sign in (-1, 1)), "symlog")
    assert scale.threshold == 10  # the power of ten above 7
    unsure = value_scale(value, np.array([-1e30, 1, 1]), np.array([1e30, 1e4, 1e6]), "symlog")
    assert unsure.threshold == 10  # an interval larger than every value does not count


def test_places_and_values_are_inverse_and_agree_with_matplotlib() -> None:
    values = np.array([-300.0, -2.0, 0.0, 0.5, 40.0])
    for scale in (Scale("linear"), Scale("symlog", 10.0), Scale("symlog", 0.1, 0.35), Scale("log")):
        shown = values[values > 0] if scale.kind == "log" else values
        np.testing.assert_allclose(scale.values(scale.places(shown)), shown, rtol=1e-12, atol=1e-12)
        axes = Figure().subplots()
        scale.set_on(axes, "y")
        np.testing.assert_allclose(scale.places(shown), axes.yaxis.get_transform().transform(shown), rtol=1e-12)
    assert Scale("log").places([0.0, -1.0, np.inf]).tolist() == [-np.inf, -np.inf, np.inf]


def test_limits_hold_all_values_and_intervals_of_a_usual_length() -> None:
    value = np.array([10.0, 11.0, 12.0])
    low, high = limits(Scale("linear"), value, value - 1, value + 2)
    assert low < 9 < 14 < high
    assert (high - low) < 1.2 * (14 - 9)
    low, high = limits(Scale("linear"), value, np.array([9, -1e30, 11.0]), np.array([11, np.inf, 13.0]))
    assert (low > 8, high < 14) == (True, True)
    low, high = limits(Scale("log"), np.array([1.0, 100.0]), np.array([-5.0, 90.0]), np.array([2.0, 110.0]))
    assert 0.5 < low < 1
    assert limits(Scale("linear"), value, NONE, NONE, [40.0])[1] > 40
    for scale in (Scale("linear"), Scale("log"), Scale("symlog")):
        one = limits(scale, np.array([5.0]), NONE, NONE)
        assert one[0] < 5 < one[1]
        assert limits(scale, NONE, NONE, NONE)[0] < limits(scale, NONE, NONE, NONE)[1]
    wide = limits(Scale("linear"), value, value - 50, value + 50)
    assert wide[0] < -40  # where all are unsure, all are shown whole
    assert wide[1] > 62


def test_given_limits_replace_the_chosen_ones() -> None:
    assert narrowed((0.0, 9.0), None, "y") == (0.0, 9.0)
    assert narrowed((0.0, 9.0), (None, 5.0), "y") == (0.0, 5.0)
    with pytest.raises(Misuse, match="the limits of the x axis are 10 and 9; give a lower one, then an upper one"):
        narrowed((0.0, 9.0), (10.0, None), "x")


def test_steps_have_round_ticks() -> None:
    for size in (3.4, 5.5, 7.0):
        axes = Figure(figsize=(size, 2.4)).subplots()
        axes.set_xlim(-30, 630)
        tidy_ticks(axes, Scale("linear"), "x", integer=True)
        ticks = axes.get_xticks()
        assert ticks[1] - ticks[0] in (100, 200, 250), ticks  # 80 would be as many as fit


def test_labels_of_short_axes_do_not_meet() -> None:
    cases = ((Scale("symlog", 10.0), -1e3, 3e5, 2), (Scale("log"), 1.9, 68.0, 1), (Scale("log"), 0.1, 90.0, 2))
    for height in (0.6, 0.9, 1.5, 3.0):
        figure = Figure(figsize=(4, height))
        axes = figure.subplots()
        for scale, low, high, fewest in cases:
            scale.set_on(axes, "y")
            axes.set_ylim(low, high)
            tidy_ticks(axes, scale, "y")
            figure.draw_without_rendering()
            texts = [*axes.yaxis.get_majorticklabels(), *axes.yaxis.get_minorticklabels()]
            shown = [text for text in texts if text.get_text() and low <= text.get_position()[1] <= high]
            boxes = sorted((text.get_window_extent() for text in shown), key=lambda box: box.y0)
            assert len(boxes) >= fewest
            assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes)), height
