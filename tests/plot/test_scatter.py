"""One quantity against another: points, both intervals, colours and lines."""

import numpy as np
import pandas as pd
import pytest

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.plot.canvas import remarks


def results() -> pd.DataFrame:
    frame = pd.DataFrame({"run": ["/runs/a"] * 3 + ["/runs/b"], "step": [10, 0, 20, 0], "lr": [0.1, 0.1, 0.1, 0.2]})
    frame = frame.assign(rank=[5, 3, 7, 4], scalar_curvature=[2.0, 1.0, np.nan, 4.0])
    frame = frame.assign(rank_lower=[5, 3, 7, 4], rank_upper=[6, 3, None, None])
    half = [0.5, 0.25, np.nan, np.inf]
    return frame.assign(
        scalar_curvature_lower=frame["scalar_curvature"] - half, scalar_curvature_upper=frame["scalar_curvature"] + half
    )


def test_points_are_the_numbers_and_bars_are_both_intervals() -> None:
    axes = sc.plot.against(results())
    points = [
        one.get_offsets().tolist() for one in axes.collections if len(one.get_offsets()) and one.get_zorder() == 3
    ]
    assert points == [[[3, 1], [5, 2]], [[4, 4]]]
    assert axes.lines[0].get_xydata().tolist() == [[3, 1], [5, 2]]  # in the order of the steps
    bars = [s.tolist() for one in axes.collections if one.get_zorder() == 2 for s in one.get_segments()]
    (_low_x, high_x), (low_y, high_y) = axes.get_xlim(), axes.get_ylim()
    assert bars[0] == [[5, 2], [6, 2]]
    assert bars[1] == [[4, 4], [high_x, 4]]  # an open end goes to the edge
    assert bars[2:] == [[[5, 1.5], [5, 2.5]], [[3, 0.75], [3, 1.25]], [[4, low_y], [4, high_y]]]
    assert remarks(axes.figure) == ["1 checkpoint left out: without rank or without scalar_curvature"]


def test_expressions_and_colours_by_an_attribute() -> None:
    axes = sc.plot.against(results(), "rank / 2", "scalar_curvature * lr", color="lr", run=["a", "b"])
    points = np.concatenate([np.asarray(one.get_offsets()) for one in axes.collections if one.get_zorder() == 3])
    assert points == pytest.approx(np.array([[1.5, 0.1], [2.5, 0.2], [2.0, 0.8]]))
    words = [text.get_text() for text in axes.figure.legends[0].texts]
    assert words == ["lr = 0.1", "lr = 0.2", "a", "b"]


def test_what_is_not_there_is_refused() -> None:
    rows = results()
    with pytest.raises(Misuse, match="has both 'rank' and 'scalar_curvature'"):
        sc.plot.against(rows.assign(rank=[5, 3, 7, None]).iloc[2:])
    with pytest.raises(Misuse, match="--measure rank"):
        sc.plot.against(rows.drop(columns=["rank", "rank_lower", "rank_upper"]))
    with pytest.raises(Misuse, match="xscale is 'logg'"):
        sc.plot.against(rows, xscale="logg")
