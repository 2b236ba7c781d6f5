"""The store on request: a looser request computes nothing, a sharper one does, and each of them once."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from scalecurv.analysis import Request
from scalecurv.measures import measures_named
from scalecurv.record import Asked, Record
from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.sweeps.work import Sweep, find_work
from tests.loops import each
from tests.outcomes import outcome, store_of
from tests.runs import carry_out, computed, gradient_sweep

USUAL: dict[str, Any] = {"rtol": 1e-4, "max_matvecs": 100, "memory": 1 << 24, "route": "generic"}


def asking(sweep: Sweep, **changes: Any) -> Sweep:
    return replace(sweep, request=Request(measures_named(("gradient", "moments", "rank"), **{**USUAL, **changes})))


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    sweep = asking(gradient_sweep(tmp_path, steps=[0]))
    assert computed(carry_out(sweep)) == ["gradient", "moments", "rank"]
    return sweep


def test_only_a_sharper_request_computes_anything_and_only_once(sweep: Sweep) -> None:
    statuses = open_store(sweep.store).estimates().query("component == ''").groupby("quantity")["status"].first()
    assert statuses["trace_h2"] == "budget"
    for changes in ({"rtol": 0.5}, {"max_matvecs": 50}, {"memory": 1 << 20}, {"rtol": 0.5, "max_matvecs": 50}):
        assert find_work(asking(sweep, **changes)).todo == ()
    sharper: list[dict[str, Any]] = [
        {"max_matvecs": 120},
        {"rtol": 1e-5, "max_matvecs": 30},
        {"memory": 1 << 25},
        {"route": "sampled"},
    ]
    for changes in sharper:
        assert computed(carry_out(asking(sweep, **changes))) == ["moments"]
    for changes in ({}, *sharper):
        assert carry_out(asking(sweep, **changes)) == []


def test_the_row_of_most_products_is_shown_whatever_was_asked_last(sweep: Sweep) -> None:
    shown = open_store(sweep.store).results()["trace_h2"].tolist()
    carry_out(asking(sweep, rtol=1e-5, max_matvecs=30))
    store = open_store(sweep.store)
    rows = store.estimates().query("quantity == 'trace_h2' and component == ''")
    assert rows["key"].nunique() == 1
    assert sorted(zip(rows["rtol"], rows["max_matvecs"], strict=True)) == [(1e-5, 30), (1e-4, 100)]
    assert store.results()["trace_h2"].tolist() == shown
    carry_out(asking(sweep, max_matvecs=200))
    assert open_store(sweep.store).results()["trace_h2"].tolist() != shown


def interval(half: float, status: Status, products: int, stderr: float = NAN) -> Estimate:
    return Estimate(10.0, stderr, 10 - half, 10 + half, 0.95, products, products, "by hand", status)


WRITTEN_OUT = interval(1e-9, Status.CERTIFIED, 180)
BOUND = Estimate.enclosed(8, 8, 60, "memory is short", Status.LOWER_BOUND, num_matvecs=26)


@each(
    ("coarse", "sharp"),
    [
        (interval(0.3, Status.BUDGET, 968, 0.15), WRITTEN_OUT),  # which takes fewer products
        (interval(0.1, Status.CERTIFIED, 200), WRITTEN_OUT),
        (BOUND, interval(0.0, Status.CONVERGED, 0)),
        (interval(0.0, Status.BUDGET, 968), WRITTEN_OUT),  # a bound that rests on a spent budget
        (interval(0.01, Status.BUDGET, 20, 0.005), interval(0.1, Status.CERTIFIED, 10)),  # too few samples
        (Estimate.not_applicable("memory is short"), interval(0.3, Status.BUDGET, 968, 0.15)),
        (interval(0.01, Status.CONVERGED, 64, 0.005), interval(0.02, Status.CONVERGED, 128, 0.01)),  # short by chance
        (interval(0.3, Status.BUDGET, 968, 0.15), interval(0.1, Status.CONVERGED, 350, 0.05)),  # by a larger deflation
        (WRITTEN_OUT, Estimate.exact(10.0, "by hand")),
    ],
)
def test_the_sharper_of_two_rows_is_shown_in_any_order(coarse: Estimate, sharp: Estimate) -> None:
    for first, last in ((coarse, sharp), (sharp, coarse)):
        with TemporaryDirectory() as store:
            records = [
                Record("k", "moments", {("trace", ""): found}, asked=Asked(0.01, 1000, memory))
                for memory, found in enumerate((first, last), 1)
            ]
            store_of(Path(store), *(outcome("a.pt", one, created=float(i)) for i, one in enumerate(records)))
            (shown,) = open_store(store).chosen().to_dict("records")
        assert (shown["status"], shown["num_matvecs"]) == (sharp.status.value, sharp.num_matvecs)
