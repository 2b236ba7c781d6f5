"""One budget for all measures: what each finds, and what all cost together, depends on nobody's company or order."""

import itertools
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch

from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures import DEFAULT, Curvature, Extremes, Gradient, Measure, Moments, Rank, Spectrum, measures_named
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.fresh import FreshTerms
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.networks import Called, data, fitted, network, problem

SMALL = 12 * 74 * 8  # four vectors of the network, and room to restart
ASKED: tuple[Measure, ...] = (
    Gradient(),
    Extremes(0.01, 80),
    Extremes(0.01, 80, route="generic"),
    Moments(0.2, 300, route="sampled"),
    Curvature(0.2, 200, route="generic"),
    Rank(),
    Spectrum(2, 60),
    Curvature(0.2, 200),
    Moments(0.05, 100, route="dense"),
    Extremes(0.5, 80),
    Moments(0.05, 100, route="generic"),
    Curvature(0.05, 100),
    Rank(memory=3000),
    Moments(0.001, 1000, SMALL, route="generic"),
    Curvature(0.001, 64, SMALL, route="sampled"),
    Moments(0.001, 64, SMALL, route="generic"),
)
ORDERS = [tuple(range(len(ASKED))), tuple(reversed(range(len(ASKED))))]  # every pair in both orders


@cache
def alone(index: int) -> str:
    return repr(ASKED[index].compute(Evaluation(problem("relu"), 3)))


@each(order=ORDERS)
def test_order_and_company_change_no_bit(order: tuple[int, ...]) -> None:
    together = Evaluation(problem("relu"), 3)
    for i in order:
        assert repr(ASKED[i].compute(together)) == alone(i), ASKED[i]


@each(subset=[*itertools.combinations(DEFAULT, 2), DEFAULT], name=["tanh"])
def test_any_subset_in_any_order(name: str, subset: tuple[str, ...]) -> None:
    """The measures of one command, which share every option: in both orders, in single precision."""

    def answers(chosen: tuple[Measure, ...]) -> dict[str, str]:
        evaluation = Evaluation(problem(name, dtype=torch.float32), 1)
        return {m.name: repr(m.compute(evaluation)) for m in chosen}

    measures = measures_named(subset, rtol=0.1, max_matvecs=60)
    own = {m.name: _own(m, name) for m in measures}
    assert answers(measures) == answers(measures[::-1]) == own


@cache
def _own(measure: Measure, name: str) -> str:
    return repr(measure.compute(Evaluation(problem(name, dtype=torch.float32), 1)))


def test_asking_again_takes_no_product() -> None:
    evaluation = Evaluation(problem("relu"), 3)
    again = [m for m in ASKED if not isinstance(m, Spectrum)]  # which nobody shares
    first = [repr(m.compute(evaluation)) for m in again]
    total = evaluation.total_matvecs
    assert [repr(m.compute(evaluation)) for m in again] == first
    assert evaluation.total_matvecs == total


@pytest.fixture(name="taken")
def _taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counters of our own, put where the products are taken."""
    taken = {"hessian": 0, "jacobian": 0, "gauss-newton": 0}

    def counted(operator: type[LinearOperator], name: str, method: str) -> None:
        product = getattr(operator, method)

        def count(self: LinearOperator, V: torch.Tensor) -> torch.Tensor:
            taken[name] += V.shape[1]
            return product(self, V)

        monkeypatch.setattr(operator, method, count)

    over_data = FreshTerms._over_data

    def count_passes(self: FreshTerms, problem: Problem, seed: int, ids: Sequence[int]) -> torch.Tensor:
        taken["hessian"] += len(ids)
        return over_data(self, problem, seed, ids)

    monkeypatch.setattr(FreshTerms, "_over_data", count_passes)
    counted(HessianOperator, "hessian", "_matmat")
    counted(GaussNewtonOperator, "gauss-newton", "_matmat")
    counted(JacobianOperator, "jacobian", "_matmat")
    counted(JacobianOperator, "jacobian", "_rmatmat")
    return taken


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_product_is_counted_once(taken: dict[str, int], dtype: torch.dtype) -> None:
    evaluation = Evaluation(problem("relu", dtype=dtype), 3)
    asked = (
        Gradient(),
        Extremes(0.01, 200, route="sampled"),
        Moments(0.2, 200, route="sampled"),
        Curvature(0.2, 200, route="sampled"),
    )
    found = {m.name: m.compute(evaluation) for m in (*asked, Rank(), Rank(memory=3000), Spectrum(2, 60))}
    cost = {name: e.num_matvecs for findings in found.values() for name, e in findings.estimates.items()}
    assert cost["ghg"] == cost["gh2g"] == 1
    assert cost["loss"] == cost["grad_norm"] == cost["beta"] == cost["rank_ceiling"] == cost["trace"] == 0
    assert cost["noise_floor"] == (6 if dtype == torch.float32 else 0)
    assert cost["rank"] == 0  # residues, not products
    assert 0 < taken["jacobian"] == cost["rank_1e2"] <= 2 * 12  # sigma_1 of all samples: twelve steps with J'J
    assert evaluation.total_matvecs == sum(taken.values())
    assert cost["scalar_curvature"] == cost["t2_minus_f"] + 1


def fitted_tanh(wrap: Callable[[torch.nn.Module], torch.nn.Module] = lambda net: net) -> Problem:
    model, (x, _) = wrap(network("tanh")), data("mse")
    with torch.no_grad():
        return Problem(model, (x, model(x)), "mse")


def fitted_called() -> Problem:
    return fitted_tanh(Called)


@pytest.mark.parametrize("route", [None, "sampled", "generic", "dense"])
@pytest.mark.parametrize(
    ("at", "products"), [(fitted, 0), (fitted_tanh, 0), (fitted_called, 21)]
)  # min(N D, P): the whole side
def test_every_product_is_counted_once_at_a_fit(
    taken: dict[str, int], at: Callable[[], Problem], products: int, route: str | None
) -> None:
    """Three of H and of its Gauss-Newton part, and those of the Jacobian, are in what the chain costs."""
    evaluation = Evaluation(at(), 3)
    found = Curvature(0.2, 200, route=route).compute(evaluation).estimates
    assert evaluation.total_matvecs == sum(taken.values()) == found["chain_1"].num_matvecs + 1  # Hg
    assert (taken["gauss-newton"], taken["jacobian"]) == (3, products)


@pytest.mark.parametrize(
    ("name", "memory", "max_matvecs", "route"),
    [
        (*at, max_matvecs, route)
        for i, max_matvecs in enumerate((24, 50, 200, 1000))
        for j, route in enumerate((None, "sampled", "generic"))
        for at in [(("tanh", 1 << 30), ("relu", SMALL))[(i + j) % 2]]
    ],
)
def test_all_together_stay_inside_it(
    taken: dict[str, int], name: str, memory: int, max_matvecs: int, route: str | None
) -> None:
    """Also where no tolerance is ever met, in single precision, which pays for a spot check and the gradient twice."""
    evaluation = Evaluation(problem(name, dtype=torch.float32), 3)
    measures = measures_named(DEFAULT, rtol=1e-9, max_matvecs=max_matvecs, memory=memory, route=route)
    found = {m.name: m.compute(evaluation) for m in measures}
    assert evaluation.total_matvecs == sum(taken.values())
    assert taken["hessian"] <= max_matvecs
    for findings in found.values():
        for estimate in findings.by_component.values():
            assert estimate.num_matvecs <= evaluation.total_matvecs
    if route == "generic":  # everything that may be spent is, where nothing converges, but for the check
        assert found["moments"].estimates["trace"].num_samples == found["curvature"].estimates["t2_minus_f"].num_samples
        lanczos = found["extremes"].estimates["lambda_max"].num_matvecs - 6  # the spot check is in it
        assert taken["hessian"] == 8 + lanczos + found["moments"].estimates["trace"].num_samples
