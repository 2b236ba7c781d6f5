"""A problem and a request: which records come, what they cost, and what a broken one says."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.analysis import Identity, Request, records_of
from scalecurv.errors import CheckpointError
from scalecurv.measures import MEASURES, Gradient, Moments, Rank, measures_named
from scalecurv.measures.evaluation import Evaluation, Make, Terms, run_here
from scalecurv.measures.measure import SHARPNESS
from scalecurv.measures.moments.deflation import deflation
from scalecurv.measures.route import Strategy
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.record import Asked, Stored, measure_key
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.networks import data, network, problem

IDENTITY = Identity("fingerprint", "task", "float64")
MET = Stored(width=0.0)
EVERYTHING = measures_named(tuple(MEASURES), rtol=0.3, max_matvecs=100)


def test_one_record_a_measure_under_its_key() -> None:
    request = Request(EVERYTHING, 3)
    records, total = records_of(problem("relu"), request, IDENTITY)
    assert [(r.key, r.measure) for r in records] == [(key, m.name) for key, m in request.keys(IDENTITY).items()]
    evaluation = Evaluation(problem("relu"), 3)
    for record, measure in zip(records, EVERYTHING, strict=True):
        findings = measure.compute(evaluation)
        assert repr(record.estimates) == repr(findings.by_component)
        assert repr(record.arrays) == repr(findings.arrays)
        assert not record.failed
        assert record.seconds > 0
    assert total == evaluation.total_matvecs


def test_what_is_known_is_not_asked_again() -> None:
    request = Request(EVERYTHING)
    keys = list(request.keys(IDENTITY))
    records, total = records_of(problem("relu"), request, IDENTITY, known=dict.fromkeys(keys[:2] + keys[3:], MET))
    assert [r.measure for r in records] == [EVERYTHING[2].name]
    (moments,) = records
    assert total == moments.estimates["trace", ""].num_matvecs
    assert records_of(problem("relu"), request, IDENTITY, known=dict.fromkeys(keys, MET)) == ((), 0)


def test_what_is_stored_meets_a_request_that_is_no_sharper() -> None:
    measures = measures_named(
        ("moments", "rank", "gradient"), rtol=0.1, max_matvecs=50, memory=1 << 20, route="generic"
    )
    gradient, moments, rank = Request(measures).keys(IDENTITY)
    held = {key: Stored().also(m.asked, 0.5) for key, m in zip((gradient, moments, rank), measures, strict=True)}
    for change, missing in (
        ({}, []),
        ({"rtol": 0.2}, []),
        ({"max_matvecs": 40}, []),
        ({"memory": 1 << 19}, []),
        ({"rtol": 0.05}, ["moments"]),
        ({"max_matvecs": 60}, ["moments"]),
        ({"memory": 1 << 21}, ["moments", "rank"]),
        ({"rtol": 0.5, "max_matvecs": 60}, []),  # its intervals are no wider
        ({"route": "sampled"}, ["moments"]),
        ({"route": None}, ["moments"]),
        ({"params": "weight$"}, ["gradient", "moments", "rank"]),
    ):
        asked = Request(tuple(replace(m, **{n: v for n, v in change.items() if hasattr(m, n)}) for m in measures))
        assert [m.name for m in asked.missing(IDENTITY, held).values()] == missing, change


def test_rows_under_the_key_of_former_stores_meet_the_very_request() -> None:
    """Their keys held all options, and how sharply they were asked is not known otherwise."""
    for kind in MEASURES.values():
        for measure in (kind(), kind(params="weight$")):
            former = measure_key("fingerprint", "task", measure.name, measure.settings, measure.version, "float64", 0)
            held = {former: Stored().also(Asked(np.inf, -1, -1), 0.001)}
            assert Request((measure,)).missing(IDENTITY, held) == {}
            for name in SHARPNESS & set(measure.settings):
                other = replace(measure, **{name: 2 * measure.settings[name]})
                assert len(Request((other,)).missing(IDENTITY, held)) == 1


def test_one_measure_asked_twice_is_computed_once_as_sharply_as_both() -> None:
    request = Request((Moments(0.5, 60), Moments(0.1, 30), Moments(0.2, 40, route="generic")))
    assert list(request.keys(IDENTITY).values()) == [Moments(0.1, 60), Moments(0.2, 40, route="generic")]
    assert len(records_of(problem("relu"), request, IDENTITY)[0]) == 2
    assert list(Request((Gradient(), Rank(7), Rank(9), Gradient())).keys(IDENTITY).values()) == [Gradient(), Rank(9)]


def test_terms_are_run_the_way_it_is_told() -> None:
    def doubled(
        point: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range]
    ) -> list[tuple[np.ndarray, int]]:
        return [(2 * rows, count) for rows, count in run_here(point, make, terms, seed, blocks)]

    measure = Moments(0.0, 100, route="generic")
    asked = Request((measure,), 5)
    (plain,), _ = records_of(problem("relu"), asked, IDENTITY)
    (twice,), _ = records_of(problem("relu"), asked, IDENTITY, run_terms=doubled)
    strategy = Strategy(measure.rtol, measure.max_matvecs, measure.memory, measure.route)
    known = deflation(Evaluation(problem("relu"), 5), strategy).terms.known  # which is no term
    for i, name in enumerate(("trace", "trace_h2")):
        terms = [record.estimates[name, ""].value - known[i] for record in (plain, twice)]
        assert terms[1] == pytest.approx(2 * terms[0], rel=1e-9)


@pytest.mark.parametrize(
    ("scale", "dtype", "message"),
    [
        (1e10, torch.float32, "the loss is inf at these weights, first seen in the loss at sample 0 (batch 0)"),
        (
            1e30,
            torch.float32,
            "the loss is nan at these weights, first seen in the output of module '2' (Linear) at sample 0 (batch 0)",
        ),
        (1e45, torch.float64, "the gradient norm is inf at these weights"),  # of finite entries
    ],
)
@pytest.mark.parametrize("measure", EVERYTHING, ids=lambda m: m.name)
def test_without_loss_or_slope_there_is_no_curvature(measure, scale: float, dtype: torch.dtype, message: str) -> None:
    model = network("relu").to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p *= scale
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}; there is no curvature to speak of$"):
        records_of(Problem(model, data("mse"), "mse"), Request((measure,)), IDENTITY)


def steep(dtype: torch.dtype) -> Problem:
    """A finite loss and slope, but a product with the slope that overflows: f = a b x with x large."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
    x = torch.tensor([[1e15 if dtype == torch.float32 else 1e60]], dtype=dtype)
    return Problem(model, (x, torch.zeros_like(x)), "mse")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_overflow_later_is_a_failed_record_and_not_the_end(dtype: torch.dtype) -> None:
    records, _ = records_of(steep(dtype), Request(EVERYTHING), IDENTITY)
    failed = {r.measure: r.failed for r in records}
    assert failed == {
        "gradient": True,  # H g overflows, or its square
        "extremes": False,
        "moments": False,
        "rescaling": False,
        "curvature": dtype == torch.float64,  # which takes the slope in double
        "rank": False,  # in double
        "spectrum": False,
        "principal": dtype == torch.float64,  # likewise
        "gauss_newton": False,  # which looks along no slope
        "sharpness": False,  # steps on which the loss overflows are left out
        "sgd": dtype == torch.float64,  # it squares products of single samples
        "flatness": False,
    }
    gradient, curvature = (next(r for r in records if r.measure == name) for name in ("gradient", "curvature"))
    if dtype == torch.float64:
        assert {name for (name, _), e in gradient.estimates.items() if e.status is Status.FAILED} == {"ghg", "gh2g"}
        assert curvature.estimates["scalar_curvature", ""].status is Status.FAILED
        return
    K, truth = curvature.estimates["scalar_curvature", ""], dense_at(steep(dtype)).curvature
    assert K.lower <= truth <= K.upper
    ends = [curvature.estimates[name, ""].value for name in ("curvature_lower", "curvature_upper")]
    assert ends[0] <= truth <= ends[1]
    reason = "a product in torch.float32 is not finite; try --dtype float64, or look at the weights"
    assert set(gradient.estimates) == {(name, "") for name in Gradient.quantities}
    assert {(e.status, e.method) for e in gradient.estimates.values()} == {(Status.FAILED, reason)}


@pytest.mark.parametrize("error", [FloatingPointError, OverflowError])  # of a tensor, of a Python number
def test_a_measure_without_quantities_can_fail(monkeypatch: pytest.MonkeyPatch, error: type[ArithmeticError]) -> None:
    def broken(self: HessianOperator, V: torch.Tensor) -> torch.Tensor:
        raise error("overflow")

    monkeypatch.setattr(HessianOperator, "_matmat", broken)
    records, _ = records_of(problem("relu"), Request(measures_named(("spectrum", "rank"))), IDENTITY)
    assert {r.measure: r.failed for r in records} == {"rank": False, "spectrum": True}


def test_a_bug_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(self: HessianOperator, V: torch.Tensor) -> torch.Tensor:
        raise IndexError("a bug")

    monkeypatch.setattr(HessianOperator, "_matmat", bug)
    with pytest.raises(IndexError, match=r"^a bug$"):
        records_of(problem("relu"), Request((Rank(), Gradient())), IDENTITY)
