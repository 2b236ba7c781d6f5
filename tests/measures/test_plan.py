"""The plan of a request: its routes are those that are taken, and it costs no more than the plan says."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from scalecurv.cli.plan_table import table
from scalecurv.measures.curvature.curvature import Curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.extremes import Extremes
from scalecurv.measures.gauss_newton import GaussNewton
from scalecurv.measures.gradient import Gradient
from scalecurv.measures.measure import Measure
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.named import measures_named
from scalecurv.measures.plan import Planned, plan_of
from scalecurv.measures.rescaling import Rescaling
from scalecurv.measures.spectrum import Spectrum
from scalecurv.problem.problem import Problem
from scalecurv.quantities import DEFAULT
from tests.networks import problem

METHODS = {  # of estimates, by route
    "sum over layers": "sum over layers",
    "pairs of samples": "sum over pairs of samples and layers",
    "deflated probes": "deflated hutchinson",
    "H written out": "H written out",
    "output probes": "passes with output probes",
    "sum over tensors": "sum over tensors",
    "fresh probes": "fresh probes",
    "Lanczos run": "lanczos",
}
ROUTED = ("trace", "trace_h2", "lambda_max", "lambda_min")


def by_quantity(rows: Iterable[Planned]) -> dict[str, Planned]:
    return {name: row for row in rows for name in row.quantities}


def asked(route: str | None, max_matvecs: int, rtol: float = 0.05) -> tuple[Measure, ...]:
    several = (Extremes(rtol, max_matvecs, route=route), Moments(rtol, max_matvecs, route=route))
    return (Gradient(), *several, Rescaling(max_matvecs), Curvature(rtol, max_matvecs, route=route))


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_routes_are_those_taken_and_products_no_more_than_planned(name: str, dtype: torch.dtype) -> None:
    for route, max_matvecs in ((None, 1000), (None, 60), ("sampled", 200), ("generic", 200), ("dense", 74)):
        for measures in (asked(route, max_matvecs), asked(route, max_matvecs)[1:2], asked(route, max_matvecs)[-1:]):
            plan = plan_of(measures, problem(name, dtype=dtype))
            evaluation, found = Evaluation(problem(name, dtype=dtype), 1), {}
            for measure in measures:
                found |= measure.compute(evaluation).estimates
            taken = evaluation.total_matvecs
            assert taken <= sum(row.products for row in plan), (route, max_matvecs, taken)
            rows = by_quantity(plan)
            for quantity in set(ROUTED) & found.keys():
                assert METHODS[rows[quantity].route] in found[quantity].method


def test_samples_have_rows_of_their_own() -> None:
    """The ends of the spectrum take six products, the run on the sample its share of a pass; F is what it may be."""
    torch.manual_seed(0)
    point = Problem(nn.Linear(6, 3), (torch.randn(200, 6), torch.randint(0, 3, (200,))))
    measures = (Extremes(0.05, 60, from_samples=50), Curvature(0.05, 60, from_samples=50))
    rows = by_quantity(plan_of(measures, point))
    ends, square = rows["lambda_max"], rows["scalar_curvature"]
    assert (ends.route, ends.why, ends.products) == ("from samples", "Lanczos on 50 of 200 samples first", 6)
    assert ends.gradients == pytest.approx(2 * (6 + (15 + 12) / 4))
    assert (rows["effective_rank"].route, rows["effective_rank"].gradients) == ("from samples", 0.0)
    assert (square.route, square.why) == ("pairs of samples", "50 samples; deflated probes where H is far from G")
    evaluation = Evaluation(point)
    for measure in measures:
        measure.compute(evaluation)
    assert evaluation.total_matvecs <= sum(row.products for row in plan_of(measures, point))
    plain, same = (plan_of([Extremes(0.05, 60, from_samples=n)], point) for n in (None, 200))
    assert plain == same


def test_what_is_shared_is_counted_once() -> None:
    point = problem("relu")
    once, both = (
        sum(row.products for row in plan_of(measures, point))
        for measures in (
            [Moments(0.1, 200, route="sampled")],
            [Moments(0.1, 200, route="sampled"), Curvature(0.1, 200, route="sampled")],
        )
    )
    assert both == once + 1 + 6  # Hg, and three of H and of G that tell whether H is G at a fit
    one, other = Moments(0.1, 200, route="generic"), Moments(0.1, 200, route="generic", params="0")
    apart = [sum(row.products for row in plan_of(several, point)) for several in ([one], [other], [one, other])]
    assert apart[2] == apart[0] + apart[1]  # blocks of parameters share nothing


def test_prices_have_the_order_of_the_work() -> None:
    """tr H by ten backward passes, a Lanczos run, probes; float64 at twice the price; measures without a plan apart."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    data = torch.randn(300, 20), torch.randint(0, 10, (300,))
    single, double = (Problem(model, data, dtype=dtype) for dtype in (torch.float32, torch.float64))
    measures = measures_named(DEFAULT)
    rows = by_quantity(plan_of(measures, single))
    prices = [rows[name].gradients for name in ("loss", "trace", "lambda_max", "trace_h2")]
    assert prices == sorted(prices)
    assert rows["trace"].gradients == pytest.approx(2 * by_quantity(plan_of(measures, double))["trace"].gradients)
    assert 5 < rows["trace"].gradients < 20
    assert rows["rank"].gradients is None
    assert rows["rank"].why.startswith("300 of 300 samples, the work of ")
    assert rows["rank"].bytes == 8 * 3000**2  # J J'
    own = by_quantity(plan_of([Spectrum(max_matvecs=100), GaussNewton(max_matvecs=100)], single))
    assert own["spectrum"].products == 100
    assert plan_of(measures, single) == plan_of(measures, Problem(model, data))  # no clock is in it


def test_the_table_of_a_plan() -> None:
    plan = (
        Planned(("a", "b"), "route", "why", 3, 6.0, 2_000_000),
        Planned(("a_name_as_long_as_this_one_is", "second"), "way", "as it is", 0, None),
    )
    assert list(table(plan, 0.5)) == [
        "quantity                                  route  why       products  gradients  MB",
        "a, b                                      route  why              3        6.0   2",
        "a_name_as_long_as_this_one_is and 1 more  way    as it is         0          -   0",
        "at most 6 gradients a checkpoint, 3 s at 0.5 s each; a_name_as_long_as_this_one_is, second apart",
    ]
