"""K within its bracket, and the chain of bounds with its verdicts: coordinates, markers and words."""

import numpy as np
import pandas as pd
import pytest

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.geometry.chain import Verdict, chain
from scalecurv.plot.brackets import FORMULAS, MARKS
from scalecurv.quantities import CHAIN

LINKS = chain((4.0, 5.0), (5.0, 6.0), (1.5, 2.0), (6.0, 6.0))


def results() -> pd.DataFrame:
    frame = pd.DataFrame({"run": "/runs/a", "step": [0, 1, 2], "scalar_curvature": [-2.0, 5.0, 9.0]})
    frame = frame.assign(scalar_curvature_lower=frame["scalar_curvature"] - 1, chain_status="not_applicable")
    frame.loc[2, "chain_status"] = "holds"
    ends = {"curvature_lower": [-4.0, 3.0, np.nan], "curvature_upper": [1.0, 8.0, 12.0]}
    return frame.assign(scalar_curvature_upper=frame["scalar_curvature"] + 1, **ends)


def tidy(links: bool) -> pd.DataFrame:
    """Return a frame of `long` of one checkpoint: K, its bracket, and the links or the reason why there are none."""
    rows = [("scalar_curvature", 20.0, 19.0, 21.0, ""), ("curvature_lower", 15.0, 15.0, 15.0, "")]
    rows += [("curvature_upper", 30.0, 30.0, 30.0, "")]
    for name, link in zip(CHAIN, LINKS, strict=True):
        numbers = (
            (link.value, link.lower, link.upper, link.method) if links else (np.nan,) * 3 + ("the fit is not exact",)
        )
        rows.append((name, *numbers))
    frame = pd.DataFrame(rows, columns=["quantity", "value", "lower", "upper", "method"])
    return frame.assign(run="/runs/a", checkpoint="c", step=7, component="", status="certified")


def test_over_steps_the_band_is_the_bracket_and_bars_are_the_interval() -> None:
    axes = sc.plot.chain(results())
    (line,) = (line for line in axes.lines if line.get_gid() == "K")
    assert line.get_xydata().tolist() == [[0, -2], [1, 5], [2, 9]]
    (band,) = (one for one in axes.collections if one.get_gid() == "bracket")
    corners = {tuple(corner) for path in band.get_paths() for corner in path.vertices}
    assert {(0.0, -4.0), (0.0, 1.0), (1.0, 3.0), (1.0, 8.0)} <= corners
    assert not any(x == 2 for x, _ in corners)
    bars = [s.tolist() for one in axes.collections[1:] if hasattr(one, "get_segments") for s in one.get_segments()]
    assert bars == [[[0, -3], [0, -1]], [[1, 4], [1, 6]], [[2, 8], [2, 10]]]
    marked = {line.get_marker(): line.get_xdata().tolist() for line in axes.lines if line.get_gid() is None}
    assert marked == {MARKS[Verdict.NOT_APPLICABLE].marker: [0, 1], MARKS[Verdict.HOLDS].marker: [2]}


def test_the_bracket_reaches_to_the_outer_ends_of_its_bounds() -> None:
    ends = {"curvature_lower_lower": [-6.0, 2.0, None], "curvature_lower_upper": [-3.0, 4.0, None]}
    ends |= {"curvature_upper_lower": [0.0, 7.0, None], "curvature_upper_upper": [2.0, 11.0, None]}
    axes = sc.plot.chain(results().assign(**ends))
    (band,) = (one for one in axes.collections if one.get_gid() == "bracket")
    corners = {tuple(corner) for path in band.get_paths() for corner in path.vertices}
    assert {(0.0, -6.0), (0.0, 2.0), (1.0, 2.0), (1.0, 11.0)} <= corners


def test_each_link_has_its_interval_and_its_verdict() -> None:
    axes = sc.plot.chain(tidy(links=True), step=7)
    drawn = {line.get_gid(): line for line in axes.lines if line.get_gid()}
    names = [label.get_text() for label in axes.get_yticklabels()]
    words = [text.get_text() for text in axes.texts]
    assert names == [FORMULAS[LINKS[0].formula], "$K$", *(FORMULAS[link.formula] for link in LINKS[1:])]
    bars = {y: (low, high) for one in axes.collections for (low, y), (high, _) in one.get_segments()}
    assert len({link.verdict for link in LINKS}) > 1
    for i, (name, link) in enumerate(zip(CHAIN, LINKS, strict=True)):
        row = i if i == 0 else i + 1
        assert drawn[name].get_xydata().tolist() == [[link.value, row]]
        assert drawn[name].get_marker() == MARKS[link.verdict].marker
        assert bars[row] == pytest.approx((link.lower, link.upper))
        assert words[i] == MARKS[link.verdict].words.partition(":")[0]
    assert drawn["bracket"].get_xdata() == pytest.approx((15.0, 30.0))
    assert bars[1] == (19.0, 21.0)
    assert drawn["K"].get_xdata().tolist() == [20.0]
    assert axes.get_title(loc="left") == "a, step 7"


def test_where_the_chain_does_not_apply_the_reason_stands_in_its_place() -> None:
    axes = sc.plot.chain(tidy(links=False), step="last")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$K$"]
    assert [text.get_text() for text in axes.texts] == ["chain not applicable: the fit is not exact"]


def test_no_two_verdicts_look_alike_without_colour() -> None:
    assert len({(mark.marker, mark.hollow) for mark in MARKS.values()}) == len(Verdict)
    assert MARKS.keys() == set(Verdict)


def test_refusals_name_the_command_and_the_steps_that_are_there() -> None:
    with pytest.raises(Misuse, match="--measure curvature,rank"):
        sc.plot.chain(pd.DataFrame({"run": "a", "step": [0], "loss": [1.0]}))
    with pytest.raises(Misuse, match="no checkpoint has step 9; there are steps 0, 1, 2"):
        sc.plot.chain(results(), step=9)
    for step in (1.5, "next", True):
        with pytest.raises(Misuse, match="whole number, 'first' or 'last'"):
            sc.plot.chain(results(), step=step)  # type: ignore[arg-type]
