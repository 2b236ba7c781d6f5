"""All findings of several measures at one problem: the numbers of each, whose common products are taken once."""

import re

import numpy as np
import pytest

import scalecurv as sc
from scalecurv.measures import DEFAULT, Extremes, Moments, Spectrum
from scalecurv.measures.evaluation import Evaluation
from scalecurv.store.schema import TABLES
from tests.networks import problem

FEW = {"rtol": 0.2, "max_matvecs": 60}  # so few products that H is not written out


def test_each_measure_gives_what_it_gives_alone() -> None:
    point = problem("tanh")
    results = sc.analyze(point, ["moments", Extremes, Spectrum(2, 60)], **FEW, seed=3)
    alone = {m.name: m.compute(Evaluation(point, 3)) for m in (Moments(0.2, 60), Extremes(0.2, 60), Spectrum(2, 60))}
    wanted = {name: e for findings in alone.values() for name, e in findings.estimates.items()}
    assert {name: repr(e) for name, e in results.items()} == {name: repr(e) for name, e in wanted.items()}
    assert {key: repr(e) for key, e in results.parts.items()} == {
        key: repr(e) for key, e in alone["moments"].parts.items()
    }
    assert list(results.arrays) == ["extremes", "spectrum"]
    for name, arrays in results.arrays.items():
        for array, values in arrays.items():
            np.testing.assert_array_equal(values, alone[name].arrays[array])
    assert len(results) == 4
    assert "trace" in results
    assert "lambda_mix" not in results


def test_products_are_taken_once() -> None:
    def spent(*measures: str) -> int:
        return sc.analyze(problem("tanh"), measures, **FEW).total_matvecs

    together = spent("moments", "extremes", "curvature")
    assert (
        max(spent("moments"), spent("extremes"), spent("curvature")) <= together < spent("moments") + spent("curvature")
    )
    point = problem("tanh")
    first = sc.analyze(point, "moments", **FEW)
    assert first.total_matvecs > 0
    again = sc.analyze(point, "moments", **FEW)
    assert (again.total_matvecs, dict(again)) == (0, dict(first))


def test_the_default_is_that_of_the_command() -> None:
    found = sc.analyze(problem("relu"))
    wanted = sc.analyze(problem("relu"), DEFAULT)
    assert list(found) == list(wanted)
    assert {"trace", "scalar_curvature", "rank", "lambda_max", "loss", "trace_rescaled"} < set(found)


def test_options_reach_the_measures_that_have_them() -> None:
    point = problem("relu")
    block = sc.analyze(point, "moments", params="^0")
    assert block["trace"].value == pytest.approx(sc.trace(point.restricted("^0")).value, rel=1e-10)
    assert sc.analyze(point, "moments", route="dense")["trace"].method.startswith("H written out")
    softmax = sc.analyze(point, "rank", output="prob")
    assert ("rank", "softmax") in softmax.parts
    assert "rank" not in softmax
    assert "functional_dimension_lower" in sc.analyze(point, "rank", functional_dimension=True)


def test_the_frame_has_the_columns_of_a_store() -> None:
    results = sc.analyze(problem("relu"), "moments")
    frame = results.to_frame()
    assert set(frame) <= {column.name for column in TABLES["estimates"]}
    assert len(frame) == len(results) + len(results.parts)
    whole = frame[frame["component"] == ""].set_index("quantity")
    assert whole["value"].to_dict() == {name: e.value for name, e in results.items()}
    assert whole.loc["trace", "status"] == "exact"
    assert sc.analyze(problem("relu"), "spectrum").to_frame().empty


def test_an_overflow_fails_one_measure_and_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(self: Moments, evaluation: Evaluation) -> sc.Findings:
        raise OverflowError("numbers above 1e308")

    monkeypatch.setattr(Moments, "compute", overflow)
    results = sc.analyze(problem("relu"), ("moments", "extremes"))
    assert results["trace"].status is sc.Status.FAILED
    assert results["trace"].method == "numbers above 1e308"
    assert results["lambda_max"].status is sc.Status.EXACT
    assert re.search("^trace +failed  numbers above 1e308$", str(results), re.MULTILINE)  # the reason is seen


def test_it_is_shown_in_one_line_in_full_and_as_html() -> None:
    results = sc.analyze(problem("relu"), ("moments", "extremes"))
    assert re.fullmatch(
        r"Results\(4 quantities, \d+ products: lambda_max, lambda_min, trace, trace_h2\)", repr(results)
    )
    lines = str(results).splitlines()
    assert lines[2] == f"trace       {results['trace']}  exact"
    assert "<caption>Results" in results._repr_html_()
    assert results._repr_html_().count("<tr>") == 5


def test_an_unknown_quantity_is_answered_by_those_there_are() -> None:
    results = sc.analyze(problem("relu"), "extremes")
    with pytest.raises(KeyError, match="no 'trace' among these results; there are lambda_max, lambda_min"):
        results["trace"]


def test_bad_requests_are_refused_in_one_line() -> None:
    point = problem("relu")
    for measures, line in (
        ("momentz", "unknown measure 'momentz'"),
        ((Moments(0.1), Moments(0.2)), "moments"),
        (dict, "measure dict"),
    ):
        with pytest.raises(sc.Misuse, match=line) as caught:
            sc.analyze(point, measures)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(sc.Misuse, match="rtol is -1"):
        sc.analyze(point, "moments", rtol=-1)
