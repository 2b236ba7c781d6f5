"""A store draws itself: the functions of `scalecurv.plot` by its property, and its main lines in a notebook."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import scalecurv.plot
from scalecurv.results.face import DRAWN, MOST, MOST_RUNS, face
from scalecurv.results.pictures import OWN_ARGUMENT
from scalecurv.results.query import Store, open_store
from tests.outcomes import failure, outcome, record, sampled, store_of

FUNCTIONS = [name for name in scalecurv.plot.__all__ if name != OWN_ARGUMENT]


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = [
        outcome(f"/runs/{run}/step_{step}.pt", record(f"{run}{step}", {("trace", ""): sampled(1.5 + step, 0.5)}))
        for run in "ab"
        for step in (0, 10)
    ]
    return open_store(
        store_of(tmp_path_factory.mktemp("pictures") / "store", *found, failure("/runs/a/x_5.pt", step=5))
    )


def test_every_function_of_plot_is_bound(store: Store) -> None:
    assert dir(store.plot) == FUNCTIONS
    for name in FUNCTIONS:
        free, bound = getattr(scalecurv.plot, name), getattr(store.plot, name)
        first, *rest = inspect.signature(free).parameters.values()
        assert first.name == "source", name
        assert list(inspect.signature(bound).parameters.values()) == rest
        assert (bound.__name__, bound.__doc__) == (free.__name__, free.__doc__)
    assert next(iter(inspect.signature(scalecurv.plot.save).parameters)) != "source"


def test_a_bound_function_draws_the_store(store: Store) -> None:
    axes = store.plot.trajectories("trace", intervals="bars")
    ours = {tuple(line.get_ydata()) for line in axes.get_lines()}
    theirs = {
        tuple(line.get_ydata()) for line in scalecurv.plot.trajectories(store, "trace", intervals="bars").get_lines()
    }
    assert ours == theirs
    assert (1.5, 11.5) in ours


def test_a_picture_that_there_is_not(store: Store) -> None:
    with pytest.raises(AttributeError, match=rf"^a store has no picture 'save'; it draws {', '.join(FUNCTIONS)}$"):
        store.plot.save  # noqa: B018


def test_names_load_no_matplotlib(tmp_path: Path) -> None:
    program = (
        f"import sys, scalecurv as sc; store = sc.open_store({str(tmp_path)!r})\n"
        "names = dir(store.plot), repr(store.plot), store._repr_html_()\n"
        "print({'matplotlib', 'torch', 'plotly', 'xarray', 'tensorboard', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_face_of_a_store_draws_its_lines(store: Store) -> None:
    html = store._repr_html_()
    assert html.startswith("<table><caption>Store</caption>")
    assert re.findall("<title>(.*?)</title>", html) == ["trace: from 1 to 12, over step 0 to 10"]
    (lines,) = re.findall(r'<path d="([^"]*)" stroke="currentColor" fill="none" opacity="0.8"', html)
    assert lines.count("M") == 2  # one for each run, over the steps that did not fail
    assert lines.count("L") == 2


class _Frame:
    """Results without a file."""

    def __init__(self, rows: pd.DataFrame):
        self._rows = rows

    def results(self, all_columns: bool) -> pd.DataFrame:
        return self._rows


def test_a_face_of_many_points_is_thinned_and_says_so() -> None:
    labels = {"task_id": "t", "dtype": "float32", "seed": 0, "status": "ok"}
    points = [(run, step) for run in range(MOST_RUNS + 1) for step in range(MOST // MOST_RUNS + 1)]
    rows = pd.DataFrame([{"run": run, "step": step, **labels} for run, step in points])
    ends = {name + end: rows["step"] for name in DRAWN for end in ("", "_lower", "_upper")}
    html = face(_Frame(rows.assign(**ends)), {"path": "here"})
    assert f"<td>drawn</td><td>1 of 2 checkpoints of {MOST_RUNS} of {MOST_RUNS + 1} runs</td>" in html
    assert html.count("<svg") == len(DRAWN)


def test_an_empty_store_has_a_face(tmp_path: Path) -> None:
    html = open_store(store_of(tmp_path / "store"))._repr_html_()
    assert "<td>checkpoints</td><td>0</td>" in html
    assert "<svg" not in html
