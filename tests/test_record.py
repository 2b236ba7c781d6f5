"""What travels: keys that tell every analysis from every other, and records that know when they failed."""

import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from scalecurv.measures import Curvature
from scalecurv.quantities import BUILT_IN, DERIVED, NAMES, QUANTITIES
from scalecurv.record import Asked, FileStamp, Outcome, Record, Stored, digest, inconsistent, measure_key, unmet
from scalecurv.statistics.estimate import Estimate, Status

KEY = {
    "fingerprint": "f",
    "task_id": "t",
    "measure": "moments",
    "options": {"route": "generic", "params": "weight$"},
    "version": 1,
    "dtype": "float64",
    "seed": 0,
}
FINE, BROKEN = Estimate.exact(1.0, "test"), Estimate.exact(np.nan, "test")


def test_equal_content_has_equal_digest_whatever_the_order() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"  # of {"a":1}


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1.5}, {"a": [1]}, {}])
def test_other_content_has_another_digest(other: Mapping) -> None:
    assert digest(other) != digest({"a": 1})


def test_what_is_no_number_has_no_digest() -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        digest({"rtol": float("nan")})


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "g"},
        {"task_id": "u"},
        {"measure": "extremes"},
        {"options": {"route": "sampled", "params": "weight$"}},
        {"options": {"route": "generic"}},
        {"version": 2},
        {"dtype": "float32"},
        {"seed": 1},
        {"fingerprint": "t", "task_id": "f"},
    ],
)
def test_a_key_changes_with_each_of_its_parts(change: dict) -> None:
    assert measure_key(**{**KEY, **change}) != measure_key(**KEY)


def test_a_key_is_the_same_in_every_process() -> None:
    assert measure_key(**KEY) == "5c24fe90a3d204d41763787befb7f2b8763e7537afa56ea444774e35e9c3a122"
    former = {**KEY, "options": {"rtol": 0.01, "max_matvecs": 1000}}  # as stores up to schema 3 have it
    assert measure_key(**former) == "6cfa21bb25929905e236644c9970fab983181752dc3ea9ed31ef9c59697253a3"


def test_one_request_is_as_sharp_as_another_where_no_limit_is_looser() -> None:
    usual = Asked(0.01, 1000, 500)
    for sharper in (
        usual,
        Asked(0.001, 1000, 500),
        Asked(0.01, 1001, 500),
        Asked(0.01, 1000, 501),
        Asked(0, 2000, 600),
    ):
        assert sharper.as_sharp_as(usual)
        assert usual.as_sharp_as(sharper) == (sharper == usual)
    assert not Asked(0.001, 10, 500).as_sharp_as(usual)
    assert not usual.as_sharp_as(Asked(0.001, 10, 500))


def test_stored_rows_meet_what_was_asked_before_and_what_is_no_sharper_than_they_are() -> None:
    usual, cheap = Asked(0.01, 1000, 500), Asked(0.001, 10, 500)
    held = Stored().also(usual, 0.3).also(cheap, 0.2)
    assert held == Stored((usual, cheap), 0.2)
    for asked in (usual, cheap, Asked(0.2, 9999, 9999), Asked(0.5, 0, 0)):
        assert held.meets(asked)
    for asked in (Asked(0.001, 1000, 500), Asked(0.01, 1000, 501), Asked(0.19, 1001, 500)):
        assert not held.meets(asked)
    assert not Stored().meets(Asked())
    assert Stored(width=0.0).meets(Asked())


@pytest.mark.parametrize(
    ("estimates", "arrays", "failed"),
    [
        ({("loss", ""): FINE}, {}, False),
        ({("loss", ""): FINE, ("trace", ""): BROKEN}, {}, True),
        ({("rank_ceiling", ""): Estimate.not_applicable("test")}, {}, False),
        ({}, {"ritz_nodes": np.ones(2)}, False),
        ({}, {}, True),  # a measure without quantities whose arithmetic broke down
    ],
)
def test_a_record_knows_whether_it_failed(estimates: dict, arrays: dict, failed: bool) -> None:
    assert Record("key", "measure", estimates, arrays).failed is failed


def test_an_outcome_travels() -> None:
    record = Record("key", "moments", {("trace", ""): FINE}, {"ritz_nodes": np.arange(3.0)}, 0.5)
    outcome = Outcome("a.pt", "ok", stamp=FileStamp("a.pt", 10, 20, 30), records=(record,), step=7)
    back = pickle.loads(pickle.dumps(outcome))
    assert (back.path, back.status, back.stamp, back.step) == ("a.pt", "ok", outcome.stamp, 7)
    assert repr(back.records[0].estimates) == repr(record.estimates)  # NaN included
    assert np.array_equal(back.records[0].arrays["ritz_nodes"], [0, 1, 2])


def test_an_outcome_says_why_it_failed() -> None:
    broken = Record("a", "share", {(name, ""): Estimate.failed("a line") for name in ("x", "y")})
    other = Record("b", "moments", {("trace", ""): FINE, ("trace_h2", ""): Estimate.failed("overflow")})
    assert Outcome("a", "ok", records=(Record("c", "rank", {("rank", ""): FINE}),)).reason == ""
    assert Outcome("a", "failed", error="unreadable").reason == "unreadable"
    said = "measure share failed: a line; measure moments failed: overflow"
    assert Outcome("a", "partial", records=(broken, other)).reason == said


def test_units_are_powers_of_the_loss_and_of_the_parameters() -> None:
    assert {q.unit for q in QUANTITIES} == {
        *("1", "loss", "loss/theta", "loss/theta^2", "loss^2/theta^4", "loss^3/theta^4", "loss^4/theta^6"),
    }
    assert {q.unit for q in QUANTITIES if q.integer} == {"1"}
    assert {q.measure for q in QUANTITIES} == set(BUILT_IN) - {"spectrum"}  # which has arrays alone


def test_names_of_quantities_are_columns() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(QUANTITIES)
    assert all(name.isidentifier() and name == name.lower() for name in NAMES)
    counted = {n for n in NAMES if n.startswith("account_") or "rank" in n or "dimension" in n}
    assert {q.name for q in QUANTITIES if q.integer} == (counted - {"effective_rank", "stable_rank"}) | {"kinks"}
    assert BROKEN.status is Status.FAILED


def test_what_is_computed_from_others_is_derived() -> None:
    wanted = {"curvature_lower", "curvature_upper", "effective_rank", "participation_ratio"}
    wanted |= {f"chain_{i}" for i in range(1, 7)}
    wanted |= {"sectional_mean", "sectional_ritz", "ricci_gradient", "scalar_curvature_convex"}
    wanted |= {"account_rescaling", "account_data_limited", "account_unexplained"}  # no products narrow them
    assert wanted == DERIVED
    assert {q.name for q in QUANTITIES if q.derived} == DERIVED < set(NAMES)
    assert set(Curvature.quantities) - DERIVED == {"scalar_curvature", "t2_minus_f"}


def loose(*names: str, component: str = "", status: Status = Status.BUDGET) -> dict[tuple[str, str], Estimate]:
    return {(name, component): FINE.with_status(status) for name in names}


def test_unmet_counts_the_checkpoints_at_which_each_quantity_ran_out() -> None:
    moments = Record("a", "moments", {**loose("trace", "trace_h2"), **loose("trace", component="0")})
    curvature = Record("b", "curvature", loose("scalar_curvature", *DERIVED))
    content = Record("c", "moments", {**loose("trace", status=Status.CONVERGED), **loose("trace_h2")})
    outcomes = [Outcome("0", "ok", records=(moments, curvature)), Outcome("1", "ok", records=(content,))]
    assert unmet(outcomes) == {"trace": 1, "trace_h2": 2, "scalar_curvature": 1}
    assert unmet([Outcome("2", "failed")]) == {}


def test_what_is_derived_has_no_tolerance_that_it_could_miss() -> None:
    for name in NAMES:
        record = Record("key", "measure", loose(name))
        assert unmet([Outcome("a", "ok", records=(record,))] * 3) == ({} if name in DERIVED else {name: 3})


def test_only_a_spent_budget_is_unmet() -> None:
    for status in [s for s in Status if s is not Status.BUDGET]:
        record = Record("key", "measure", loose(*NAMES, status=status))
        assert unmet([Outcome("a", "ok", records=(record,))]) == {}


def test_inconsistent_counts_the_checkpoints_at_which_two_roads_do_not_meet() -> None:
    """Derived quantities too, which have no tolerance but a second road; of the whole model alone."""
    apart = Status.INCONSISTENT
    first = Record("a", "principal", loose("scalar_curvature_convex", "trace", status=apart))
    other = Record("b", "gauss_newton", {**loose("lambda_max_ggn", status=apart), **loose("euler_bound")})
    layer = Record("c", "moments", loose("trace", component="0", status=apart))
    outcomes = [Outcome("0", "ok", records=(first, other)), Outcome("1", "ok", records=(other, layer))]
    assert inconsistent(outcomes) == {"scalar_curvature_convex": 1, "trace": 1, "lambda_max_ggn": 2}
    assert inconsistent([Outcome("2", "failed")]) == {}


def test_only_what_does_not_meet_is_inconsistent() -> None:
    for status in [s for s in Status if s is not Status.INCONSISTENT]:
        record = Record("key", "measure", loose(*NAMES, status=status))
        assert inconsistent([Outcome("a", "ok", records=(record,))]) == {}
        apart = Record("key", "measure", loose(*NAMES, status=Status.INCONSISTENT))
        assert not apart.failed
        assert set(inconsistent([Outcome("a", "ok", records=(apart,))])) == set(NAMES)
