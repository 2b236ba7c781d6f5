"""What every measure promises, asked of each of them, and the names by which they are chosen."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from functools import cache

import numpy as np
import pytest
import torch

from scalecurv.analysis import Identity, Request
from scalecurv.measures import MEASURES
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import SHARPNESS, Findings, Measure
from scalecurv.quantities import NAMES
from scalecurv.record import Asked
from scalecurv.statistics.estimate import Estimate, Status
from tests.loops import each
from tests.networks import problem

IDENTITY = Identity("fingerprint", "task", "float64")
# a value for every option there is
ANOTHER = {
    "params": "weight$",
    "rtol": 0.5,
    "max_matvecs": 40,
    "memory": 1 << 14,
    "num_starts": 2,
    "route": "exact",
    "output": "prob",
    "functional_dimension": False,
    "singular_values": True,
    "rank_samples": 3,
    "from_samples": 20,
    "radius": 0.1,
    "sigma": 0.01,
    "sgd_batches": (1, 3),
}


def ask(measure: Measure, seed: int = 0, **options: object) -> Findings:
    return measure.compute(Evaluation(problem("relu", "cross_entropy", **options), seed))


def the_key(measure: Measure, identity: Identity = IDENTITY, seed: int = 0) -> str:
    (key,) = Request((measure,), seed).keys(identity)
    return key


def assert_honest(estimate: Estimate, rtol: float) -> None:
    """The status says no more than the numbers do."""
    e = estimate
    if e.status in (Status.NOT_APPLICABLE, Status.FAILED):
        assert np.isnan([e.value, e.stderr, e.lower, e.upper, e.confidence]).all()
        return
    if np.isnan(e.value):  # nothing is known before more products are spent
        assert (e.status, e.upper) == (Status.BUDGET, np.inf)
        return
    assert e.lower <= e.value <= e.upper
    assert 0 < e.confidence <= 1
    if e.status is Status.EXACT:
        assert (e.lower, e.upper, e.confidence, e.num_samples) == (e.value, e.value, 1, 0)
        assert np.isnan(e.stderr)
    elif e.status is Status.CONVERGED:
        assert e.within(rtol)
        assert e.num_samples >= 32 or np.isnan(e.stderr)
    elif e.status is Status.CERTIFIED:
        assert e.within(rtol) or "absolute" in e.method
    elif e.status is Status.BUDGET:
        assert not e.within(rtol) or e.num_samples < 32


DEFAULTS = tuple(measure() for measure in MEASURES.values())
ROUTES = tuple(
    MEASURES[name](route=route)
    for name in ("moments", "curvature", "extremes", "spectrum")
    for route in ("sampled", "generic")
)
ROUTES += tuple(MEASURES[name](route="sampled") for name in ("principal", "gauss_newton"))
MORE = (MEASURES["rank"](functional_dimension=True),)


every_measure = each(measure=DEFAULTS + ROUTES + MORE)


@cache
def found(measure: Measure) -> Findings:
    """Return what the measure finds by itself, computed once for all tests."""
    return ask(measure)


class TestEveryMeasure:
    """Conformance."""

    @every_measure
    def test_it_is_a_value(self, measure: Measure) -> None:
        assert pickle.loads(pickle.dumps(measure)) == measure
        assert hash(replace(measure)) == hash(measure)
        with pytest.raises(FrozenInstanceError):
            measure.rtol = 1.0

    @every_measure
    def test_its_options_are_plain(self, measure: Measure) -> None:
        options = json.loads(json.dumps(measure.settings))
        assert type(measure)(**options) == measure
        names = {f.name for f in fields(measure)}
        unset = {name for name in names if getattr(measure, name) is None}
        assert unset <= {
            "route",
            "output",
            "functional_dimension",
            "singular_values",
            "rank_samples",
            "from_samples",
            "params",
        }  # takes no part in the key until it is set
        assert set(options) == names - unset
        assert names <= set(ANOTHER)
        assert set(replace(measure, **{name: ANOTHER[name] for name in names}).settings) == names

    @every_measure
    def test_how_sharply_it_is_asked_is_no_part_of_its_key(self, measure: Measure) -> None:
        sharp = {f.name for f in fields(measure)} & SHARPNESS
        assert not SHARPNESS & set(measure.options)
        assert measure.settings == {**measure.options, **{name: getattr(measure, name) for name in sharp}}
        assert measure.asked == Asked(**{name: getattr(measure, name) for name in sharp})
        for name in sharp:
            assert the_key(replace(measure, **{name: ANOTHER[name]})) == the_key(measure)

    @every_measure
    def test_everything_else_that_changes_the_numbers_changes_the_key(self, measure: Measure) -> None:
        keys = {the_key(measure), the_key(measure, seed=1)}
        names = [f.name for f in fields(measure) if f.name not in SHARPNESS]
        keys |= {the_key(replace(measure, **{name: ANOTHER[name]})) for name in names}
        keys |= {the_key(measure, replace(IDENTITY, **{name: "x"})) for name in ("fingerprint", "task_id", "dtype")}
        assert the_key(replace(measure)) in keys
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(measure), "version", measure.version + 1)
            keys.add(the_key(measure))
        assert len(keys) == 2 + len(names) + 3 + 1

    @every_measure
    def test_it_finds_what_it_names(self, measure: Measure) -> None:
        findings = found(measure)
        unasked = {name for name, option in measure.on_request.items() if not measure.options.get(option)}
        assert set(findings.estimates) == set(measure.quantities) - unasked <= set(NAMES)
        for array in findings.arrays.values():
            assert array.ndim == 1
            assert array.dtype == np.float64

    @every_measure
    def test_the_seed_decides_and_nothing_else(self, measure: Measure) -> None:
        first, again, other = found(measure), ask(measure), ask(measure, seed=1)
        assert repr(first) == repr(again)  # bit by bit, NaN included
        free = ("gradient", "moments", "rescaling", "extremes", "curvature", "spectrum", "gauss_newton", "flatness")
        exact = measure in [MEASURES[name]() for name in free]  # at this network, whose H is written out
        assert (repr(other) == repr(first)) == exact
        if measure.name == "rank":  # other primes: another chance of being wrong, the same numbers
            same = [{name: e.value for name, e in f.estimates.items()} for f in (first, other)]
            assert same[0] == same[1]

    @each(measure=DEFAULTS + ROUTES + MORE, budget=[24, 200])
    def test_its_statuses_are_honest_and_its_budget_is_kept(self, measure: Measure, budget: int) -> None:
        options = {name: value for name, value in (("rtol", 0.2), ("max_matvecs", budget)) if name in measure.settings}
        asked = replace(measure, **options)
        for estimate in ask(asked).estimates.values():
            assert_honest(estimate, 0.2)
            assert estimate.num_matvecs <= budget or measure.name == "rank"

    @every_measure
    def test_single_precision_agrees(self, measure: Measure) -> None:
        double, single = found(measure).estimates, ask(measure, dtype=torch.float32).estimates
        for name, estimate in double.items():
            if name == "noise_floor":  # of which there is none in float64
                continue
            assert single[name].status is estimate.status
            assert single[name].value == pytest.approx(estimate.value, rel=1e-4, nan_ok=True)

    @every_measure
    def test_batches_and_memory_are_not_seen(self, measure: Measure) -> None:
        if "max_matvecs" in measure.settings:
            measure = replace(measure, max_matvecs=40)
        whole, split = ask(measure).estimates, ask(measure, batch_size=2, memory=20_000).estimates
        for name, estimate in whole.items():
            assert split[name].value == pytest.approx(estimate.value, rel=1e-10, nan_ok=True)
            assert split[name].num_matvecs == estimate.num_matvecs
