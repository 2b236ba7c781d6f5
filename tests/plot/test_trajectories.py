"""Lines over steps: what is drawn is what the store holds, with the interval of every number."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.plot.canvas import content, figure_of, remarks
from scalecurv.plot.style import DASHES, PALETTE
from scalecurv.record import Outcome
from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import NAN, Estimate, Status
from tests.outcomes import FAILED, exactly, failure, outcome, record, sampled, store_of
from tests.plot.frames import bands_of, bars_of, frame, lines_of, marks_of, study, words_of

OPEN = Estimate(6.0, NAN, 6.0, float("inf"), 1.0, 0, 9, "sketch", Status.LOWER_BOUND)


def outcomes(folder: str) -> list[Outcome]:
    first = {("trace", ""): sampled(10.0, 2.0, Status.BUDGET), ("scalar_curvature", ""): sampled(-5.0, 1.0)}
    second = {("trace", ""): sampled(30.0, 3.0), ("rank", ""): OPEN, ("t2_minus_f", ""): sampled(8.0, 1.0)}
    second["lambda_max", ""] = Estimate(4.0, NAN, 4.0, 4.5, 0.99, 0, 20, "lanczos", Status.CERTIFIED)
    return [
        outcome(f"{folder}/step_20.pt", record(f"{folder}2", {**second, **exactly(loss=0.5)})),
        outcome(f"{folder}/step_0.pt", record(f"{folder}1", {**first, **exactly(loss=2.0, rank=4, rank_ceiling=9)})),
        outcome(f"{folder}/best.pt", record(f"{folder}3", exactly(trace=99.0))),
        outcome(f"{folder}/step_30.pt", record(f"{folder}4", {("trace", ""): FAILED}), status="partial"),
        failure(f"{folder}/step_40.pt", step=40),
    ]


def store(folder: Path, *runs: str) -> Any:
    return open_store(store_of(folder, *(one for run in runs or ("/runs/a",) for one in outcomes(run))))


def test_numbers_and_intervals_are_those_of_the_store(tmp_path: Path) -> None:
    panels = sc.plot.trajectories(store(tmp_path))
    loss, trace, largest, curvature, rank = panels
    assert lines_of(loss) == [[(0, 2.0), (20, 0.5)]]
    assert bars_of(loss) == []  # exact
    assert lines_of(trace)[0][:2] == [(0, 10.0), (20, 30.0)]
    assert bars_of(trace) == [(0, 8.0, 12.0), (20, 27.0, 33.0)]
    assert bars_of(largest) == [(20, 4.0, 4.5)]
    assert [line[0] for line in lines_of(curvature)] == [(20, 8.0), (0, -5.0)]  # T^2 - F is thin, below K
    assert sorted(bars_of(curvature)) == [(0, -6.0, -4.0), (20, 7.0, 9.0)]
    assert lines_of(rank)[0] == [(0, 4), (20, 6)]
    assert [axes.get_ylabel() for axes in panels] == [
        "$L$",
        r"$T = \mathrm{tr}\,H$",
        r"$\lambda_{\max}$",
        "$K$",
        "rank $J$",
    ]
    assert panels[-1].get_xlabel() == "training step"
    figure = figure_of(loss)
    assert remarks(figure) == ["1 checkpoint(s) without a step left out"]
    found = content(figure)
    assert found is not None
    assert (found.panels, found.runs, found.checkpoints) == (5, 1, 4)


def test_statuses_open_ends_failures_and_ceilings_are_told_in_marks_and_words(tmp_path: Path) -> None:
    _, trace, _, _, rank = sc.plot.trajectories(store(tmp_path))
    hollow = [line for line in trace.lines if line.get_markerfacecolor() == trace.get_facecolor()]
    assert [line.get_xydata().tolist() for line in hollow] == [[[0.0, 10.0]]]  # budget
    assert [x for x, _ in marks_of(trace, "x")] == [30]  # failed
    assert marks_of(rank, "^") == [(20, 6.0), (20, rank.get_ylim()[1])]  # a lower bound, and its open end
    words = words_of(rank)
    for text in (
        "budget: the interval is wider than asked",
        "lower bound: the truth is here or above",
        "failed: no number",
        "ends of intervals: 1 open",
        "samples x outputs: 2,000 (above)",
        "parameters - hidden neurons: 9",
        "$T^2 - F$, beside $K$",
    ):
        assert words.count(text) == 1, text
    heights = [line.get_ydata()[0] for line in rank.lines if line.get_linestyle() not in ("-", "None")]
    assert heights == [9]


def test_bands_have_the_ends_of_the_intervals() -> None:
    rows = frame([0, 5, 9], trace=([1.0, 2.0, 4.0], [0.5, 1.0, 3.0], [2.0, 3.0, 4.5]), lr=0.5)
    axes = sc.plot.trajectories(rows, "trace * lr", intervals="band")
    assert bands_of(axes) == [{0: (0.25, 1.0), 5: (0.5, 1.5), 9: (1.5, 2.25)}]
    assert bars_of(axes) == []
    assert bands_of(sc.plot.trajectories(rows, "trace", intervals="none")) == []


def test_a_failure_breaks_the_line_and_a_gap_does_not() -> None:
    rows = frame(
        [0, 1, 2, 3], trace=[1.0, np.nan, np.nan, 4.0], trace_status=["exact", "failed", "not_applicable", "exact"]
    )
    axes = sc.plot.trajectories(rows, "trace")
    (line,) = lines_of(axes)
    assert [x for x, _ in line] == [0, 1, 3]
    assert np.isnan(line[1][1])


def test_one_unsure_number_does_not_take_the_axis() -> None:
    ends = ([9.0, -1e30, 11.0], [11.0, 1e30, 13.0])
    axes = sc.plot.trajectories(frame([0, 1, 2], trace=([10.0, 11.0, 12.0], *ends)), "trace")
    low, high = axes.get_ylim()
    assert 5 < low < 9
    assert 13 < high < 17
    assert (1.0, low, high) in bars_of(axes)
    assert marks_of(axes, "^") == [(1.0, high)]
    assert marks_of(axes, "v") == [(1.0, low)]
    assert words_of(axes) == ["ends of intervals: 2 beyond the axis"]


def test_lines_are_told_apart_by_rate_and_seed_as_the_legend_says() -> None:
    axes = sc.plot.trajectories(study(), "lambda_max * lr / 2", lines={1: "edge"})
    assert words_of(axes) == ["lr", "0.05", "0.1", "0.2", "run_seed", "0", "1", "edge"]
    drawn = {}
    for line in axes.lines[: 2 * 6]:
        if line.get_linestyle() != "None":
            drawn[tuple(line.get_ydata())] = (line.get_color(), line.get_linestyle())
    assert len(set(drawn.values())) == 6
    for (rate, seed), rows in study().groupby(["lr", "run_seed"]):
        color, dash = drawn[tuple(rows["lambda_max"] * rate / 2)]
        assert color.upper() == PALETTE[(0.05, 0.1, 0.2).index(rate)]
        assert dash == (DASHES[0], "--")[seed]


def test_panels_by_an_attribute_hold_their_runs() -> None:
    panels = sc.plot.trajectories(study(), ["lambda_max", "loss"], by="lr")
    assert panels.shape == (2, 3)
    for axes, rate in zip(panels[0], (0.05, 0.1, 0.2), strict=True):
        assert axes.get_title(loc="left") == f"lr = {rate}"
        rows = study().query(f"lr == {rate}")
        assert sorted(y for line in lines_of(axes) for _, y in line) == sorted(rows["lambda_max"])
    assert len({axes.get_ylim() for axes in panels[0]}) == 1
    assert words_of(panels[0, 0]) == ["run_seed", "0", "1"]  # the rate is above each panel


def test_it_draws_into_an_axes_of_the_user_without_global_state() -> None:
    ours = Figure().subplots()
    ours.plot([0, 10], [-50, -50])
    assert sc.plot.trajectories(study(), "lambda_max", ax=ours) is ours
    assert ours.get_ylim()[0] <= -50  # what was there stays in sight
    assert ours.get_legend().get_texts()[0].get_text() == "lr"
    with pytest.raises(Misuse, match="ax is one Axes, and 2 panels are to be drawn"):
        sc.plot.trajectories(study(), ["loss", "lambda_max"], ax=ours)


def test_a_notebook_shows_the_figure_of_what_is_returned() -> None:
    for axes in (sc.plot.trajectories(study(), "loss"), sc.plot.trajectories(study(), ["loss", "lambda_max"])):
        assert isinstance(axes, Axes) or axes.shape == (2,)
        data, size = axes._repr_png_()
        assert data.startswith(b"\x89PNG")
        assert size["width"] == 700


def test_frames_of_results_and_of_long_give_the_same_picture(tmp_path: Path) -> None:
    opened = store(tmp_path)
    pictures = [sc.plot.trajectories(source, "trace") for source in (opened, opened.results(), opened.table("long"))]
    assert lines_of(pictures[0])[0][:2] == lines_of(pictures[1])[0][:2] == lines_of(pictures[2])[0][:2]
    assert bars_of(pictures[0]) == bars_of(pictures[1]) == bars_of(pictures[2])
    assert words_of(pictures[0]) == words_of(pictures[2])  # statuses too


@pytest.mark.parametrize("kept", [slice(2, 3), slice(0, 0)])
def test_nothing_to_draw_over(tmp_path: Path, kept: slice) -> None:
    place = store_of(tmp_path, *outcomes("/runs/a")[kept])
    with pytest.raises(Misuse) as caught:
        sc.plot.trajectories(open_store(place))
    assert str(caught.value) == f"{place} holds no checkpoint with a step to draw over; see `scalecurv show {place}`"


def test_all_failed(tmp_path: Path) -> None:
    place = store_of(tmp_path, failure("/runs/a/step_4.pt", step=4))
    with pytest.raises(Misuse) as caught:
        sc.plot.trajectories(open_store(place))
    assert str(caught.value) == f"every checkpoint of {place} failed; `scalecurv show {place}` says why"


MISUSE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"intervals": "bar"}, "intervals is 'bar'; choose from auto, band, bars, none"),
    ({"yscale": "logit"}, "yscale is 'logit'; choose from auto, linear, log, symlog"),
    ({"ylim": (2, 1)}, "the limits of the y axis are 2 and 1; give a lower one, then an upper one"),
    ({"size": (7, 0)}, "the size is 7x0; give width and height in inches, each from 0.5 to 100"),
    ({"font_size": -1}, "the font size is -1; it must be positive and at most 100 points"),
    ({"color": "learning_rate"}, "the frame has no quantity or attribute 'learning_rate'; "),
    ({"where": "step > 1e9"}, "no checkpoint meets 'step > 1e9'; the frame itself shows what is there"),
    ({"run": "lr7"}, "no run is called 'lr7'; there are 6, such as lr0."),
    ({"x": "epoch"}, "the frame has no column 'epoch' of numbers to draw over; give step or epoch"),
    ({"style_sheet": "no.mplstyle"}, "the style 'no.mplstyle' cannot be used ("),
    ({"quantities": []}, "quantities are (); name one or more, such as 'trace'"),
    ({"quantities": ["loss", "lambda_max"], "lines": [1]}, "lines have a height in one quantity, and 2 are drawn; "),
)


def test_misuse_is_one_line() -> None:
    for options, said in MISUSE:
        with pytest.raises(Misuse) as caught:
            sc.plot.trajectories(study(), **{"quantities": "lambda_max", **options})
        assert str(caught.value).startswith(said), options
        assert "\n" not in str(caught.value)
    with pytest.raises(Misuse, match="a picture is made of a Store or of a frame of its table results; dict came"):
        sc.plot.trajectories({})
    many = pd.concat([study().assign(kind=i) for i in range(40)])
    with pytest.raises(Misuse, match="40 panels are too many: 'kind' has 40 values; choose by where=, or use color="):
        sc.plot.trajectories(many, "loss", by="kind")


def test_a_rare_status_is_marked_among_many_points() -> None:
    value = np.arange(1.0, 131.0)
    status = np.where(value == 78, "inconsistent", "converged")
    axes = sc.plot.trajectories(
        frame(list(range(130)), trace=(value, value - 1, value + 1), trace_status=status), "trace"
    )
    assert marks_of(axes, "X") == [(77, 78)]
    assert "inconsistent: two routes disagree" in words_of(axes)


def test_an_end_whose_column_is_null_everywhere_and_so_left_out_is_open() -> None:
    axes = sc.plot.trajectories(frame([0, 1], rank=[3, 4], rank_lower=[3, 4]), "rank")
    assert [(x, low) for x, low, _ in bars_of(axes)] == [(0, 3), (1, 4)]
    assert len(marks_of(axes, "^")) == 2
    assert "ends of intervals: 2 open" in words_of(axes)
