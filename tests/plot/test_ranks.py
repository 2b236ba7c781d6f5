"""The account of the parameters and the profile of the rank: heights, intervals, and what is left out."""

import numpy as np
import pandas as pd
import pytest

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.plot.canvas import remarks
from scalecurv.plot.ranks import COUNTS, PARTS

STEPS = [0, 10, 100]


def frame(**columns: list[float | None]) -> pd.DataFrame:
    """Return a frame of `results` of one run, with an account that adds up to 30 unless `columns` say otherwise."""
    whole = {
        "rank": [10, 12, 14],
        "account_unexplained": [5, 4, 3],
        "account_data_limited": [6, 5, 4],
        "account_rescaling": [2, 2, 2],
        "account_dead": [7, 7, 7],
        "num_params": [30, 30, 30],
        "rank_ceiling": [28, 28, 28],
    }
    return pd.DataFrame({"run": "/runs/a", "step": STEPS, "status": "ok", **whole, **columns})


def test_the_parts_of_an_account_stand_on_each_other_and_reach_p() -> None:
    rows = frame(rank_lower=[10, 11, 14], rank_upper=[10, 13, 15])
    axes = sc.plot.account(rows)
    foot = np.zeros(3)
    for patch, name in zip(axes.patches, PARTS, strict=True):
        top, edges, base = patch.get_data()
        assert base.tolist() == foot.tolist()
        assert (top - base).tolist() == rows[name].tolist()
        assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
        foot = top
    assert foot.tolist() == rows["num_params"].tolist()
    (ceiling,) = (line for line in axes.lines if line.get_gid() == "ceiling")
    assert set(ceiling.get_ydata()) == {28.0}
    (bars,) = axes.collections
    assert [segment.tolist() for segment in bars.get_segments()] == [[[1, 11], [1, 13]], [[2, 14], [2, 15]]]
    assert [axes.xaxis.get_major_formatter()(i) for i in range(3)] == ["0", "10", "100"]


def test_checkpoints_without_a_whole_account_are_left_out_and_counted() -> None:
    axes = sc.plot.account(frame(rank=[10, 13, 14], account_dead=[None, 7, 7]))
    assert [len(patch.get_data()[0]) for patch in axes.patches] == [1] * 5
    assert axes.xaxis.get_major_formatter()(0) == "100"
    assert sorted(remarks(axes.figure)) == [
        "1 checkpoint left out: its parts do not add up to P",
        "1 checkpoint left out: parts of the account are not known",
    ]


def test_a_profile_draws_each_count_with_its_interval() -> None:
    rows = frame(rank_1e3=[9, 8, 7], rank_1e3_lower=[9, 8, 6], rank_1e3_upper=[9, 8, 8], rank_1e2=[3, None, 1])
    axes = sc.plot.rank_profile(rows)
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert lines[COUNTS["rank"][0]] == [10, 12, 14]
    assert lines[COUNTS["rank_1e3"][0]] == [9, 8, 7]
    assert np.isnan(lines[COUNTS["rank_1e2"][0]][1])
    (band,) = axes.collections
    assert {6.0, 8.0} <= set(band.get_paths()[0].vertices[:, 1])


def test_a_run_without_one_of_the_counts_lacks_its_line() -> None:
    with_count = frame(rank_1e2=[3, 2, 1])
    without = frame(rank_1e2=[None] * 3).astype({"rank_1e2": "Int64"}).assign(run="/runs/b")
    panels = sc.plot.rank_profile(pd.concat([with_count, without]))
    lines = [{line.get_label(): line.get_ydata() for line in axes.lines} for axes in panels]
    assert lines[0][COUNTS["rank_1e2"][0]].tolist() == [3, 2, 1]
    assert np.isnan(lines[1][COUNTS["rank_1e2"][0]]).all()


def test_a_lower_bound_has_a_triangle() -> None:
    rows = frame(rank_status=["exact", "lower_bound", "exact"])
    axes = sc.plot.rank_profile(rows)
    assert axes.collections[-1].get_offsets().tolist() == [[10.0, 12.0]]


def test_a_panel_for_each_run_and_a_line_for_what_is_missing() -> None:
    both = pd.concat([frame(), frame().assign(run="/runs/b", rank=[11, 12, 14], account_dead=[6, 7, 7])])
    for draw in (sc.plot.account, sc.plot.rank_profile):
        panels = draw(both)
        assert [axes.get_title(loc="left") for axes in panels] == ["a", "b"]
        assert draw(both, run="b").get_title(loc="left") == "b"
        with pytest.raises(Misuse, match="choose with run= or where="):
            draw(both, ax=panels[0])
        with pytest.raises(Misuse, match="scalecurv analyze CHECKPOINTS STORE --measure rank"):
            draw(pd.DataFrame({"run": "a", "step": [0], "loss": [1.0]}))
        with pytest.raises(Misuse, match="12 with run= or where="):
            draw(pd.concat([frame().assign(run=f"/runs/{i}") for i in range(13)]))
    with pytest.raises(Misuse, match="adds up to num_params at no checkpoint"):
        sc.plot.account(frame(num_params=[40, 40, 40]))
