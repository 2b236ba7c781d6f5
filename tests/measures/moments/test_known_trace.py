"""The trace by structure: exact while outputs are few, from probes with an honest interval where they are many."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import binom, t
from torch import nn

from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.exact import MIN_FREEDOM, KnownTrace, probed_estimate
from scalecurv.measures.moments.known import known_trace
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import Dense, dense_at
from tests.networks import mlp

MANY, SAMPLES, SEEDS = 20, 60, 150
MEMORY = 1 << 30


@cache
def many_outputs() -> Problem:
    """20 outputs: as many as half of 40 products."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = mlp(nn.ReLU, (3, 4, MANY)).double()
        x, y = 2 * torch.randn(SAMPLES, 3, dtype=torch.float64), torch.randint(MANY, (SAMPLES,))
    return Problem(model, (x, y), "cross_entropy")


@cache
def truth() -> Dense:
    return dense_at(many_outputs())


def known(seed: int = 0, rtol: float = 0.01, max_matvecs: int = 16, route: str | None = None) -> KnownTrace:
    found = known_trace(Evaluation(many_outputs(), seed), Strategy(rtol, max_matvecs, MEMORY, route))
    assert found is not None
    return found


def test_as_many_outputs_as_half_of_the_products_are_exact() -> None:
    for max_matvecs, route in ((40, None), (16, "exact"), (1000, "sampled")):
        found = known(max_matvecs=max_matvecs, route=route)
        assert found.exact
        assert found.whole.value == pytest.approx(truth().trace(), rel=1e-10)
    assert not known(max_matvecs=39).exact
    assert known(rtol=0.0, max_matvecs=39).whole.method == "16 passes with output probes"


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """At every seed through the rule that stops the passes, for the whole and for each layer."""
    layers = {"0": slice(0, 16), "2": slice(16, 116)}
    misses = dict.fromkeys(("", *layers), 0)
    counts = set()
    for seed in range(SEEDS):
        found = known(seed, 0.04, 34)
        counts.add(found.whole.num_samples)
        misses[""] += not found.whole.lower <= truth().trace() <= found.whole.upper
        for layer, part in layers.items():
            estimate = found.layers[layer]
            misses[layer] += not estimate.lower <= truth().trace(part) <= estimate.upper
        assert sum(e.value for e in found.layers.values()) == pytest.approx(found.whole.value, rel=1e-12)
    most = binom.ppf(1 - 1e-4, SEEDS, 0.05)
    assert max(misses.values()) <= most, misses
    assert misses[""] >= 1  # an interval that never misses is too wide to be one of 95 %
    assert len(counts) > 1  # the rule stopped at different looks


def test_passes_double_to_at_most_half_of_the_products() -> None:
    passes = {limit: known(rtol=0.0, max_matvecs=limit).whole.num_samples / SAMPLES for limit in (16, 31, 32, 39)}
    assert passes == {16: 8, 31: 8, 32: 16, 39: 16}
    loose = [known(seed, 10.0).whole for seed in range(10)]  # as soon as the freedom is there
    assert 2 * SAMPLES == min(e.num_samples for e in loose) < max(e.num_samples for e in loose) < 16 * SAMPLES
    assert {(e.status, e.num_matvecs) for e in loose} == {(Status.CONVERGED, 0)}
    assert known(rtol=0.0).whole.status is Status.BUDGET


def test_the_standard_error_is_over_passes_not_over_samples() -> None:
    """SE^2 = sum_i s_i^2 / q by hand, Satterthwaite's freedom, and the spread of the samples' means plays no part."""
    rng = np.random.default_rng(0)
    terms = rng.standard_normal((4, 50)) + 1000 * rng.standard_normal(50)
    s2 = terms.var(axis=0, ddof=1)
    found = probed_estimate(terms)
    assert found.value == pytest.approx(terms.mean(0).sum())
    assert found.stderr == pytest.approx(math.sqrt(s2.sum() / 4))
    freedom = 5 * s2.sum() ** 2 / (s2**2).sum()
    assert MIN_FREEDOM < freedom < 3 * 50 + 50
    assert found.halfwidth == pytest.approx(t.ppf(0.975, freedom) * found.stderr)
    assert (found.num_samples, found.num_matvecs) == (200, 0)


def test_too_little_freedom_opens_the_interval() -> None:
    """One sample's two passes say nothing of their spread; 40 equal ones do."""
    rng = np.random.default_rng(0)
    one = probed_estimate(rng.standard_normal((2, 1)))
    assert (one.lower, one.upper, one.status) == (-math.inf, math.inf, Status.BUDGET)
    assert one.stderr > 0
    pair = np.array([[1.0, -1.0], [-1.0, 1.0]])
    few, enough = probed_estimate(np.tile(pair, (1, 4))), probed_estimate(np.tile(pair, (1, 5)))
    assert (few.upper, enough.upper < math.inf) == (math.inf, True)  # 3 x 8 = 24 and 3 x 10 = 30 degrees


@pytest.mark.parametrize("samples", [1, 3, 100])
def test_terms_without_spread_are_no_evidence(samples: int) -> None:
    """Passes that agree to the bit have no freedom, however many samples they go over."""
    found = probed_estimate(np.full((2, samples), 7.0))
    assert (found.value, found.stderr, found.num_samples) == (7 * samples, 0, 2 * samples)
    assert (found.lower, found.upper, found.status) == (-math.inf, math.inf, Status.BUDGET)


def test_one_sample_of_many_outputs_never_converges_early() -> None:
    point = many_outputs()
    single = Problem(point.model, (point.x[:1], point.y[:1]), "cross_entropy")
    found = Moments(10.0, 24).compute(Evaluation(single)).estimates["trace"]
    assert (found.status, found.lower, found.upper) == (Status.BUDGET, -math.inf, math.inf)


def test_the_measures_take_it_and_the_square_knows_no_control() -> None:
    """A trace that is itself sampled is no control variate, and its error goes into K."""
    evaluation = Evaluation(many_outputs(), 1)
    moments = Moments(0.0, 25, route="sampled").compute(evaluation)
    assert moments.estimates["trace"].method == "8 passes with output probes"
    assert moments.parts["trace", "0"].method == "8 passes with output probes"
    assert "control" not in Moments(0.0, 25, route="sampled").compute(evaluation).estimates["trace_h2"].method
    K = Curvature(0.0, 25, route="sampled").compute(evaluation).estimates["scalar_curvature"]
    assert K.stderr > 0
    assert K.status is Status.BUDGET
