"""A picture of a run: the numbers of the store, with their intervals, in the format that was named."""

import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from scalecurv.errors import Misuse
from scalecurv.record import Outcome
from scalecurv.results.plot import PANELS, plot_run
from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import NAN, Estimate, Status
from tests.outcomes import FAILED, exactly, failure, outcome, record, sampled, store_of

OPEN = Estimate(6.0, NAN, 6.0, float("inf"), 1.0, 0, 9, "sketch", Status.LOWER_BOUND)
SINGLE = Estimate(3.0, NAN, -float("inf"), float("inf"), 0.95, 1, 1, "hutchinson", Status.BUDGET)


def run(folder: str) -> list[Outcome]:
    first = {("trace", ""): sampled(10.0, 2.0), ("scalar_curvature", ""): sampled(-5.0, 1.0)}
    second = {("trace", ""): sampled(30.0, 3.0), ("rank", ""): OPEN, ("t2_minus_f", ""): sampled(8.0, 1.0)}
    second["lambda_max", ""] = Estimate(4.0, NAN, 4.0, 4.5, 0.99, 0, 20, "lanczos", Status.CERTIFIED)
    return [
        outcome(f"{folder}/step_20.pt", record(f"{folder}2", {**second, **exactly(loss=0.5)})),
        outcome(f"{folder}/step_0.pt", record(f"{folder}1", {**first, **exactly(loss=2.0, rank=4, rank_ceiling=9)})),
        outcome(f"{folder}/best.pt", record(f"{folder}3", exactly(trace=99.0))),
        outcome(f"{folder}/step_30.pt", record(f"{folder}4", {("trace", ""): FAILED}), status="partial"),
        failure(f"{folder}/step_40.pt", step=40),
    ]


@pytest.fixture(name="drawn")
def _drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **options: figures.append(self))
    return figures


def bars(axes: Any, which: int = 0) -> list[tuple[float, float, float, float]]:
    """(step, value, lower, upper) of one line of one panel."""
    line, _, (segments,) = axes.containers[which].lines
    ends = segments.get_segments()
    return [(x, y, low[1], high[1]) for (x, y), (low, high) in zip(line.get_xydata(), ends, strict=True)]


def test_the_suffix_names_the_format(tmp_path: Path) -> None:
    store = open_store(store_of(tmp_path / "store", outcome("/runs/a/step_5.pt", record("k", exactly(loss=0.5)))))
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        picture = tmp_path / f"run{suffix}"
        plot_run(store, picture)
        assert picture.read_bytes().startswith(magic)
        assert picture.stat().st_size > 5000


def test_numbers_and_intervals_over_steps(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_run(open_store(store_of(tmp_path, *run("/runs/a"))), tmp_path / "x.png")
    (figure,) = drawn
    panels = dict(zip(PANELS, figure.axes, strict=True))  # every one of them has something to show
    assert bars(panels["loss"]) == [(0, 2.0, 2.0, 2.0), (20, 0.5, 0.5, 0.5)]
    assert bars(panels["trace"]) == [(0, 10.0, 8.0, 12.0), (20, 30.0, 27.0, 33.0)]
    assert bars(panels["scalar_curvature"]) == [(0, -5.0, -6.0, -4.0)]
    assert bars(panels["scalar_curvature"], 1) == [(20, 8.0, 7.0, 9.0)]
    assert bars(panels["lambda_max"]) == [(20, 4.0, 4.0, 4.5)]
    steps_and_ranks = [tuple(point) for point in panels["rank"].containers[0].lines[0].get_xydata()]
    assert steps_and_ranks == [(0, 4), (20, 6)]
    ceilings = {line.get_label(): set(line.get_ydata()) for line in panels["rank"].lines if len(line.get_xdata()) == 2}
    assert ceilings["samples x outputs"] == {2000}
    assert ceilings["parameters - hidden neurons"] == {9}
    assert [axes.get_title() for axes in figure.axes] == [title for title, *_ in PANELS.values()]
    assert figure.axes[-1].get_xlabel() == "training step"


def test_every_run_is_a_line_of_its_own(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_run(open_store(store_of(tmp_path, *run("/runs/a"), *run("/runs/b"))), tmp_path / "x.png")
    loss, *_ = drawn[0].axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["a", "b"]
    assert bars(loss, 0) == bars(loss, 1) == [(0, 2.0, 2.0, 2.0), (20, 0.5, 0.5, 0.5)]


def test_every_seed_is_a_line_of_its_own(tmp_path: Path, drawn: list[Figure]) -> None:
    runs = [outcome("/runs/a/step_1.pt", record(f"k{s}", exactly(loss=float(s))), seed=s) for s in (1, 2)]
    plot_run(open_store(store_of(tmp_path, *runs)), tmp_path / "x.png")
    (loss,) = drawn[0].axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["a, seed 1", "a, seed 2"]
    assert [bars(loss, i) for i in range(2)] == [[(1, 1.0, 1.0, 1.0)], [(1, 2.0, 2.0, 2.0)]]


def test_an_interval_without_an_end_is_no_trouble(tmp_path: Path) -> None:
    store = store_of(tmp_path, outcome("/runs/a/step_0.pt", record("k", {("trace", ""): SINGLE, ("rank", ""): OPEN})))
    plot_run(open_store(store), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def complaint(store: Path, picture: Path) -> str:
    with pytest.raises(Misuse) as caught:
        plot_run(open_store(store), picture)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pictures_that_cannot_be_drawn(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", run("/runs/a")[0])
    advice = "give a file that ends in .png, .pdf or .svg"
    message = complaint(store, tmp_path / "x.xyz")
    formats = "(Format 'xyz' is not supported (supported formats: "
    assert message.startswith(f"{tmp_path / 'x.xyz'} cannot be drawn {formats}")
    assert message.endswith(f"); {advice}")
    missing = tmp_path / "missing" / "x.png"
    reason = f"[Errno 2] No such file or directory: '{missing}'"
    assert complaint(store, missing) == f"{missing} cannot be drawn ({reason}); {advice}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize("kept", [slice(2, 3), slice(4, 5), slice(0, 0)])
def test_nothing_to_draw_over(tmp_path: Path, kept: slice) -> None:
    store = store_of(tmp_path / "store", *run("/runs/a")[kept])
    expected = f"{store} holds no checkpoint with a step to draw over; see `scalecurv show {store}`"
    assert complaint(store, tmp_path / "x.png") == expected
    assert not (tmp_path / "x.png").exists()


def test_matplotlib_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "store", *run("/runs/a"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert complaint(store, tmp_path / "x.png") == "plotting needs matplotlib; install scalecurv[demo]"


@pytest.mark.parametrize(
    ("estimates", "threshold"),
    [
        ([Estimate.exact(-0.5, ""), Estimate.exact(40.0, "")], 1.0),  # the power of ten above the smallest magnitude
        ([Estimate.exact(0.0, ""), Estimate.exact(40.0, "")], 100.0),
        ([Estimate.exact(0.0, "")], 1.0),
        ([sampled(2.0, 3.0), Estimate.exact(0.01, "")], 10.0),  # and above whatever may be zero
        ([SINGLE], 10.0),
    ],
)
def test_where_the_logarithm_turns_linear(
    tmp_path: Path, drawn: list[Figure], estimates: list[Estimate], threshold: float
) -> None:
    runs = [outcome(f"/runs/a/step_{i}.pt", record(f"k{i}", {("trace", ""): e})) for i, e in enumerate(estimates)]
    plot_run(open_store(store_of(tmp_path, *runs)), tmp_path / "x.png")
    (trace,) = drawn[0].axes
    assert trace.get_yscale() == "symlog"
    assert trace.yaxis.get_transform().linthresh == threshold
