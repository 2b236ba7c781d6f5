"""What the words of docs/tour.md say of its run is what its store holds; its blocks and their outputs run elsewhere."""

import pandas as pd
import pytest

import scalecurv as sc
from tests.commands import ROOT

TOUR = (ROOT / "docs" / "tour.md").read_text()
LIMIT = 100_000  # bytes of a picture


@pytest.fixture(scope="module")
def run() -> pd.DataFrame:
    """The rows of the run over 200 samples, by step."""
    store = sc.open_store(ROOT / "examples" / "gallery" / "digits")
    return store.sql("select * from results where rank is not null order by step").set_index("step")


def says(words: str) -> bool:
    return words in " ".join(TOUR.split())


def test_sizes(run: pd.DataFrame) -> None:
    (num_params,) = run["num_params"].unique()
    assert says(f"P = {num_params:,} parameters")
    assert says(f"in about seven directions of {num_params:,}")
    assert round(run["participation_ratio"].iloc[-1]) == 7
    assert run.index[-1] == 2000


def test_the_course_of_the_trace(run: pd.DataFrame) -> None:
    assert says("For fifty steps almost nothing happens")
    assert (run["loss"].loc[:50] > 0.95 * run["loss"][0]).all()
    assert says("the trace rises more than thirtyfold")
    assert 30 < run["trace"].max() / run["trace"][0] < 40
    assert says("After step 205 the trace falls with the loss")
    assert (run["trace"].loc[205:].diff().dropna() < 0).all()
    assert (run["loss"].loc[205:].diff().dropna() < 0).all()


def test_k_and_beta(run: pd.DataFrame) -> None:
    assert says("Where the gradient is large (step 205), beta makes K half of T² - F")
    assert run["beta"].idxmin() == run["grad_norm"].idxmax() == 205
    assert run["scalar_curvature"][205] / run["t2_minus_f"][205] == pytest.approx(0.5, abs=0.05)
    assert says("K is negative at the first checkpoints because H is indefinite there")
    assert (run["scalar_curvature"].loc[:50] < 0).all()
    assert (run["lambda_min_upper"].loc[:50] < 0).all()


def test_the_rank(run: pd.DataFrame) -> None:
    assert says("200 samples with 10 outputs each make 2,000 rows, and the rank is no larger than that")
    assert run["rank"].max() == 2000
    assert says("Only at step 205 is that more than nothing")
    assert list(run.index[run["account_unexplained"] > 0]) == [205]


def test_pictures_are_there_and_small() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    assert len(pictures) >= 4
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > LIMIT} == {}
