"""The printed form of a number, and the promises of its status."""

import math
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.intervals import student_estimate

INF = math.inf


def interval(value: float, lower: float, upper: float, status: Status = Status.BUDGET, confidence: float = 0.95) -> str:
    return str(Estimate(value, NAN, lower, upper, confidence, 40, 40, "test", status))


def test_an_interval_prints_no_digit_below_its_width() -> None:
    for value, halfwidth, printed in [
        (12.34, 0.05, "12.34 +- 0.05 (95 %)"),
        (12.3456, 0.0512, "12.35 +- 0.05 (95 %)"),
        (12.3456, 0.0156, "12.346 +- 0.016 (95 %)"),  # a leading 1 is shown with one digit more
        (12.3456, 0.0996, "12.35 +- 0.10 (95 %)"),
        (-3.0, 2.0, "-3 +- 2 (95 %)"),
        (123456.0, 2345.0, "123000 +- 2000 (95 %)"),
        (123456.0, 1345.0, "123500 +- 1300 (95 %)"),
        (0.001, 5.0, "0 +- 5 (95 %)"),
        (1.2345e-12, 3e-14, "1.23e-12 +- 3e-14 (95 %)"),
        (1.2345e15, 1.6e13, "1.234e+15 +- 1.6e+13 (95 %)"),
        (0.0, 3e-14, "0 +- 3e-14 (95 %)"),
        (5.0, 1e-8, "5 (95 %)"),  # an interval too short to show
        (0.0, 0.0, "0 (95 %)"),
        (3.0, INF, "3 +- inf (95 %)"),
    ]:
        assert interval(value, value - halfwidth, value + halfwidth) == printed


@pytest.mark.parametrize(
    ("estimate", "printed"),
    [
        (Estimate.exact(2 / 3, "test"), "0.666667"),
        (Estimate.exact(17, "test"), "17"),
        (Estimate.not_applicable("test"), "not applicable"),
        (Estimate.exact(NAN, "test"), "failed"),
    ],
)
def test_what_has_no_interval(estimate: Estimate, printed: str) -> None:
    assert str(estimate) == printed


def test_certificates_and_bounds() -> None:
    certified = (Status.CERTIFIED, 0.999)
    assert interval(2.5, 2.4999999, 2.54, *certified) == "2.50 in [2.50, 2.54] (99.9 %)"
    assert interval(2.5, 2.46, 2.5, *certified) == "2.50 in [2.46, 2.50] (99.9 %)"
    assert interval(40, 40, INF, Status.LOWER_BOUND) == ">= 40"
    assert interval(5, 5, 21, Status.LOWER_BOUND) == ">= 5, <= 21"
    assert interval(2.5, 2.5, 1e7, Status.LOWER_BOUND, confidence=1.0) == ">= 2.5, <= 10000000"
    assert interval(40, 40, INF) == ">= 40"


@example(value=0.0, halfwidth=5e-324, confidence=0.95)
@settings(derandomize=True, max_examples=300)
@given(value=st.floats(-1e300, 1e300), halfwidth=st.floats(0, 1e300), confidence=st.sampled_from([0.95, 0.999]))
def test_the_width_prints_with_at_most_two_digits(value: float, halfwidth: float, confidence: float) -> None:
    printed = interval(value, value - halfwidth, value + halfwidth, confidence=confidence)
    shown = re.fullmatch(r"(\S+)(?: \+- (\S+)| in \[\S+, \S+\])? \((95|99.9) %\)", printed)
    assert shown
    if shown[2]:
        assert len(re.sub(r"e.*|\.", "", shown[2]).strip("0")) <= 2
        half = (value + halfwidth - (value - halfwidth)) / 2
        assert float(shown[2]) == pytest.approx(half, rel=0.5)
        assert abs(float(shown[1]) - value) <= half


def test_exact_has_no_doubt_and_no_sampling() -> None:
    exact = Estimate.exact(3, "test", num_matvecs=2)
    assert (exact.value, exact.lower, exact.upper, exact.confidence) == (3.0, 3.0, 3.0, 1.0)
    assert (exact.num_samples, exact.num_matvecs, exact.status) == (0, 2, Status.EXACT)
    assert math.isnan(exact.stderr)
    assert exact.halfwidth == 0


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_exact_of_what_is_no_number_has_failed(value: float) -> None:
    estimate = Estimate.exact(value, "test", num_matvecs=2)
    assert estimate.status is Status.FAILED
    assert estimate.num_matvecs == 2
    assert all(map(math.isnan, (estimate.value, estimate.lower, estimate.upper, estimate.confidence)))


def test_a_failed_estimate_has_a_reason_and_no_number() -> None:
    failed = Estimate.failed("overflow", num_samples=4, num_matvecs=6)
    assert np.isnan([failed.value, failed.stderr, failed.lower, failed.upper, failed.confidence]).all()
    assert (failed.status, failed.method, failed.num_samples, failed.num_matvecs) == (Status.FAILED, "overflow", 4, 6)
    assert (Estimate.failed("overflow").num_samples, Estimate.failed("overflow").num_matvecs) == (0, 0)


def test_products_are_added_to_the_cost_and_change_nothing_else() -> None:
    plain = Estimate(3.0, 0.5, 2.0, 4.5, 0.9, 40, 50, "test", Status.CONVERGED)
    assert plain.charged(7) == replace(plain, num_matvecs=57)
    assert plain.charged(0) == plain


def test_the_tolerance_is_on_the_half_width() -> None:
    for value, halfwidth, rtol, inside in [
        (-10, 0.5, 0.05, True),
        (-10, 0.5, 0.049, False),
        (0, 0, 0.01, True),
        (0, 1e-9, 0.01, False),
        (4, INF, 1, False),
    ]:
        estimate = Estimate(value, NAN, value - halfwidth, value + halfwidth, 0.95, 40, 40, "test", Status.BUDGET)
        assert estimate.within(rtol) is inside


def test_an_estimate_is_a_frozen_number() -> None:
    estimate = student_estimate(2.5, 0.1, 40, "test")
    assert float(estimate) == 2.5
    raised = estimate.with_status(Status.CONVERGED)
    assert (raised.status, raised.value, estimate.status) == (Status.CONVERGED, 2.5, Status.BUDGET)
    with pytest.raises(FrozenInstanceError):
        estimate.value = 1.0


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1.0, 5.0, (8.0, 0.5, 7.0, 9.5)),
        (-2.0, 1.0, (-5.0, 1.0, -8.0, -3.0)),  # turned over
        (0.5, 0.0, (1.5, 0.25, 1.0, 2.25)),
        (0.0, 2.0, (2.0, 0.0, 2.0, 2.0)),
    ],
)
def test_an_affine_map_moves_value_error_and_ends(
    scale: float, offset: float, expected: tuple[float, float, float, float]
) -> None:
    plain = Estimate(3.0, 0.5, 2.0, 4.5, 0.9, 40, 50, "test", Status.CONVERGED)
    moved = plain.affine(scale, offset)
    assert (moved.value, moved.stderr, moved.lower, moved.upper) == expected
    assert (moved.confidence, moved.num_samples, moved.num_matvecs) == (0.9, 40, 50)
    assert (moved.method, moved.status) == ("test", Status.CONVERGED)
    assert plain.value == 3.0
    half_line = Estimate(3.0, NAN, 2.0, INF, 0.9, 1, 1, "test", Status.BUDGET).affine(-1.0, 0.0)
    assert (half_line.lower, half_line.upper) == (-INF, -2.0)


def test_every_status_comes_with_one_sentence_of_its_own() -> None:
    sentences = {status: status.advice for status in Status}
    assert len(set(sentences.values())) == len(Status)
    for sentence in sentences.values():
        assert sentence[0].isupper()
        assert sentence.endswith(".")
    assert "--max-matvecs" in Status.BUDGET.advice
    assert "--memory" in Status.LOWER_BOUND.advice
    assert "--dtype float64" in Status.FAILED.advice
    assert not any("--" in Status(s).advice for s in ("exact", "not_applicable"))  # nothing to be done
