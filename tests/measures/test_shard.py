"""Measures over a dataset that is spread over ranks: the numbers of one place, or one line that says what to do."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.measures import (
    Curvature,
    Extremes,
    Flatness,
    GaussNewton,
    Gradient,
    Moments,
    Principal,
    Rank,
    Rescaling,
    Sharpness,
    Spectrum,
)
from scalecurv.measures.curvature.semidefinite import interpolates
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Measure
from scalecurv.measures.moments.from_pairs import Draws, square_from_pairs
from scalecurv.measures.noise import Perturbation, rounding
from scalecurv.measures.rank.exact import exact_rank
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.problem.shard import Shard
from scalecurv.quantities import CHAIN
from scalecurv.statistics.estimate import Estimate
from tests.networks import data, fitted, mlp, network
from tests.ranks import SIZE, ask_ranks, same

pytestmark = pytest.mark.xdist_group("ranks")  # one group of processes answers all of them

N = 23  # the first rank ends within a block of two samples that share a probe
BUDGET = {"rtol": 0.05, "max_matvecs": 64}
CASES: dict[str, tuple[Measure, str, str, dict[str, Any]]] = {
    "gradient": (Gradient(), "relu", "mse", {"batch_size": 4}),
    "extremes": (Extremes(**BUDGET), "relu", "cross_entropy", {}),
    "extremes dense": (Extremes(), "relu", "cross_entropy", {"batch_size": 4}),
    "moments dense": (Moments(), "tanh", "mse", {"reduction": "sum"}),
    "principal dense": (Principal(route="dense"), "relu", "cross_entropy", {}),
    "gauss_newton dense": (GaussNewton(), "tanh", "cross_entropy", {"dtype": torch.float32}),
    "extremes restarted": (Extremes(**BUDGET, memory=74 * 8 * 12), "tanh", "mse", {"batch_size": 4}),
    "moments sampled": (Moments(**BUDGET, route="sampled"), "relu", "cross_entropy", {}),
    "moments generic": (Moments(**BUDGET, route="generic"), "relu", "mse", {"batch_size": 4}),
    "moments of any model": (Moments(**BUDGET), "tanh", "cross_entropy", {}),
    "curvature of any model": (Curvature(**BUDGET), "tanh", "mse", {"batch_size": 3}),
    "curvature sampled": (Curvature(**BUDGET, route="sampled"), "relu", "mse", {}),
    "curvature generic": (Curvature(**BUDGET, route="generic"), "relu", "cross_entropy", {"reduction": "sum"}),
    "spectrum": (Spectrum(num_starts=2, max_matvecs=30), "relu", "mse", {}),
    "principal": (Principal(**BUDGET, route="sampled"), "relu", "cross_entropy", {}),
    "gauss_newton": (GaussNewton(**BUDGET, route="sampled"), "relu", "cross_entropy", {}),
    "gauss_newton generic": (GaussNewton(**BUDGET, route="generic"), "tanh", "mse", {"reduction": "sum"}),
    "rescaling": (Rescaling(), "relu", "mse", {"batch_size": 4}),
    "sharpness": (Sharpness(**BUDGET, sigma=0.1), "tanh", "mse", {"batch_size": 4}),
    "flatness": (Flatness(), "relu", "cross_entropy", {"batch_size": 4}),
    "gradient float32": (Gradient(), "relu", "cross_entropy", {"dtype": torch.float32}),
    "moments float32": (Moments(**BUDGET, route="sampled"), "relu", "mse", {"dtype": torch.float32}),
}


def point(name: str, loss: str, options: dict[str, Any], shard: Shard | None) -> Problem:
    return Problem(network(name), data(loss, num_data=N), loss, shard=shard, **options)


def numbers(estimate: Estimate) -> np.ndarray:
    return np.array([estimate.value, estimate.lower, estimate.upper, estimate.stderr])


def asked(measure: Measure, at: Problem) -> dict[str, Any]:
    """Every number of a measure, and how it was come by."""
    found = measure.compute(Evaluation(at))
    said = {f"{' '.join(key)}": estimate for key, estimate in found.by_component.items()}
    how = {name: f"{e.status} {e.num_samples} {e.num_matvecs} {e.method}" for name, e in said.items()}
    return {"numbers": {name: numbers(e) for name, e in said.items()}, "how": how, "arrays": dict(found.arrays)}


def saturated(unsure: bool, shard: Shard | None) -> Perturbation:
    """Softmaxes that leave a second class nothing, but at most for one sample of the first rank."""
    x = np.full((N, 1), 40.0)
    x[3] = 2.0 if unsure else 40.0
    model = nn.Sequential(nn.Linear(1, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
    return rounding(Evaluation(Problem(model, (x, np.zeros(N, int)), "cross_entropy", shard=shard)))


def fit(off: float, largest: float, shard: Shard | None) -> Problem:
    """A perfect fit but for `off` in a target of the first rank; the last one has inputs `largest` times as large."""
    at = fitted()
    x, y = at.x.clone(), at.y.clone()
    x[5] *= largest
    y[5] = at.outputs(at.theta, x[5:6]).detach()[0]
    y[0, 0] += off
    return Problem(at.model, (x, y), "mse", shard=shard)


def drawn(name: str, shard: Shard | None, count: int = 40, memory: int = 1 << 30) -> list[float]:
    """tr H^2 from `count` weighted samples, of both ranks, and the squared rows of each layer."""
    at = point(name, "cross_entropy", {"batch_size": 4, "memory": memory}, shard)
    found = square_from_pairs(Evaluation(at), Strategy(0.1, 64, 1 << 30), Draws(count, True), lambda F: 0.0)
    assert found is not None
    return [found[0].value, found[0].stderr, *(layer.value for layer in found[1].values())]


QUESTIONS: dict[str, Callable[[Shard | None], Any]] = {
    **{name: (lambda shard, case=case: asked(case[0], point(*case[1:], shard))) for name, case in CASES.items()},
    "curvature at a fit": lambda shard: asked(Curvature(**BUDGET, route="generic"), fit(0.0, 1.0, shard)),
    "a fit": lambda shard: interpolates(Evaluation(fit(0.0, 1.0, shard))),
    "a misfit on one rank": lambda shard: interpolates(Evaluation(fit(1e-3, 1.0, shard))),
    "a fit beside a large target": lambda shard: interpolates(Evaluation(fit(1e-3, 1e5, shard))),
    "saturated": lambda shard: asdict(saturated(False, shard)),
    "draws of an mlp": lambda shard: drawn("relu", shard),
    "draws of a cnn": lambda shard: drawn("conv", shard),
    # three tiles, of which memory keeps the rows of the first
    "draws in tiles": lambda shard: drawn(
        "conv", shard, 80, 1024 * Problem(network("conv"), data("mse"), "mse").num_params
    ),
    "one unsure sample": lambda shard: asdict(saturated(True, shard)),
}


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    return [found["tests.measures.test_shard"] for found in ask_ranks()]


def test_all_ranks_have_the_same_bits(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0].keys() == QUESTIONS.keys()
    assert all(same(other, ranks[0]) for other in ranks[1:])


@pytest.mark.parametrize("name", CASES)
def test_a_measure_finds_what_it_finds_in_one_place(ranks: list[dict[str, Any]], name: str) -> None:
    found, wanted = ranks[-1][name], QUESTIONS[name](None)
    rtol = 1e-3 if "float32" in name else 1e-12
    for kind in ("numbers", "arrays"):
        assert found[kind].keys() == wanted[kind].keys()
        for quantity, values in wanted[kind].items():
            if quantity.strip() == "noise_floor":  # a number about rounding
                continue
            size = np.abs(values[np.isfinite(values)]).max(initial=0.0)
            np.testing.assert_allclose(found[kind][quantity], values, rtol, rtol * size, err_msg=quantity)
    assert found["how"] == wanted["how"]


def test_draws_are_those_of_all_samples(ranks: list[dict[str, Any]]) -> None:
    for name in ("draws of an mlp", "draws of a cnn", "draws in tiles"):
        np.testing.assert_allclose(ranks[-1][name], QUESTIONS[name](None), rtol=1e-12)


def test_decisions_are_those_of_all_samples(ranks: list[dict[str, Any]]) -> None:
    for name, wanted in (("a fit", True), ("a misfit on one rank", False), ("a fit beside a large target", True)):
        assert QUESTIONS[name](None) is wanted
        assert [found[name] for found in ranks] == [wanted] * SIZE
    everywhere, wanted = ranks[0]["saturated"], QUESTIONS["saturated"](None)
    assert wanted["norm"] > 0
    assert everywhere["norm"] == pytest.approx(wanted["norm"], rel=1e-12)
    assert [found["one unsure sample"]["norm"] for found in ranks] == [0.0] * SIZE


def test_at_a_fit_the_chain_alone_is_missing(ranks: list[dict[str, Any]]) -> None:
    """`failed` and not "not applicable": the key stays open for a strategy that has the answer."""
    found, wanted = ranks[0]["curvature at a fit"], QUESTIONS["curvature at a fit"](None)
    for name, values in wanted["numbers"].items():
        if name.strip() in CHAIN:
            assert (
                found["how"][name] == "failed 0 0 the rank of J needs all samples in one place; give --plan checkpoints"
            )
            assert np.isfinite(values[0])
        else:
            np.testing.assert_allclose(found["numbers"][name], values, 1e-12)


def test_the_cheapest_road_is_not_left_silently() -> None:
    """With few samples tr H^2 is summed over pairs of them; with many products would be, spread or not."""
    at = point("relu", "mse", {}, Shard(1, SIZE))
    words = "tr H^2 by pairs of samples needs all samples in one place, and they are spread over 2 ranks; "
    words = re.escape(words + "give --route sampled, or --plan checkpoints")
    for measure in (Moments(), Curvature(), Principal(), GaussNewton(), Moments(route="exact")):
        with pytest.raises(Misuse, match=f"^measure {measure.name}: {words}$"):
            measure.check(at)
    evaluation = Evaluation(at)
    with pytest.raises(Misuse, match=f"^{words}$"):
        Moments().compute(evaluation)
    assert evaluation.total_matvecs == 0
    for measure in (
        Moments(max_matvecs=24),
        Moments(route="sampled"),
        Moments(route="generic"),
        Gradient(),
        Extremes(),
    ):
        measure.check(at)


def test_output_probes_are_refused() -> None:
    model, (x, y) = mlp(nn.ReLU, (6, 5, 13)).double(), data("mse", 13, N)
    words = (
        "tr H from output probes needs all samples in one place, and they are spread over 2 ranks; give --route generic"
    )
    for route in (None, "sampled"):
        with pytest.raises(Misuse, match=f"^measure moments: {re.escape(words)}"):
            Moments(max_matvecs=24, route=route).check(Problem(model, (x, y), "mse", shard=Shard(0, SIZE)))
    Moments(max_matvecs=24, route="generic").check(Problem(model, (x, y), "mse", shard=Shard(0, SIZE)))


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_ranks_are_refused(name: str) -> None:
    at = point(name, "mse", {}, Shard(0, SIZE))
    words = "needs all samples in one place, and they are spread over 2 ranks; "
    words = re.escape(words + "give --plan checkpoints or leave this measure out")
    with pytest.raises(Misuse, match=f"^measure rank {words}$"):
        Rank().check(at)
    with pytest.raises(Misuse, match=f"^measure rank {words}$"):
        Rank().compute(Evaluation(at))
    for memory in (1, 1 << 20) if name == "relu" else ():
        with pytest.raises(Misuse, match=f"^the exact rank {words}$"):
            exact_rank(Evaluation(at), memory)
