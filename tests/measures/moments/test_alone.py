"""tr H and tr H^2, each alone: the truth of the dense oracle, and only the products that it needs itself."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.alone import FEW, square_alone, trace_alone
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.route import Strategy
from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import layer_traces
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.networks import oracle, problem
from tests.quadratic import quadratic

DEFAULT = Strategy(0.01, 1000, 2 << 30)
ALONE = {"trace": trace_alone, "trace_h2": square_alone}
TRUTH = {"trace": lambda H: float(H.trace()), "trace_h2": lambda H: float((H**2).sum())}


@cache
def matrix(P: int) -> torch.Tensor:
    """A symmetric matrix with no eigenvalue that dominates, shape (P, P)."""
    rng = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(P, P, generator=rng, dtype=torch.float64))
    return basis @ torch.diag(torch.linspace(0.5, 1.5, P, dtype=torch.float64)) @ basis.T


def spread(P: int) -> Problem:
    """A model without structure, whose Hessian is `matrix(P)`."""
    return quadratic(matrix(P), torch.zeros(P, dtype=torch.float64))


@pytest.mark.parametrize("quantity", list(ALONE))
def test_the_value_is_the_dense_oracle_s(quantity: str) -> None:
    for name in ("relu", "tanh", "conv", "tied", "partly"):
        found = ALONE[quantity](Evaluation(problem(name)), DEFAULT)
        assert found.status is Status.EXACT, name
        assert found.value == pytest.approx(TRUTH[quantity](oracle(name).hessian), rel=1e-10), name


def test_a_trace_by_structure_takes_no_product_with_h() -> None:
    """Not even where H could be written out, and neither does tr H^2 of a small MLP."""
    evaluation = Evaluation(problem("relu"))
    assert trace_alone(evaluation, DEFAULT).method == "sum over layers, 3 backward passes"
    assert square_alone(evaluation, DEFAULT).method == "sum over pairs of samples and layers"
    assert evaluation.total_matvecs == 0


def test_a_large_mlp_pays_for_its_trace_alone() -> None:
    """Moments samples tr H^2 of it by hundreds of products."""
    model = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 10)).double()
    x = torch.randn(200, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    point = Problem(model, (x, torch.arange(200) % 10))
    evaluation, beside = Evaluation(point), Evaluation(point)
    found = trace_alone(evaluation, replace(DEFAULT, route="sampled"))
    assert evaluation.total_matvecs == 0
    assert found == replace(Moments(route="sampled").compute(beside).estimates["trace"], stderr=found.stderr)
    assert beside.total_matvecs > 30


@pytest.mark.parametrize("quantity", list(ALONE))
def test_sampling_is_taken_where_it_is_cheaper_than_h(quantity: str) -> None:
    """At a loose tolerance P = 300 is dear; at a tight one P products are cheap, and one look tells which."""
    point, truth = spread(300), TRUTH[quantity](matrix(300))
    loose, tight = Evaluation(point), Evaluation(point)
    found = ALONE[quantity](loose, replace(DEFAULT, rtol=0.2))
    assert found.status in (Status.CONVERGED, Status.CERTIFIED)
    assert found.lower <= truth <= found.upper
    assert found.halfwidth <= 0.2 * found.value
    assert loose.total_matvecs < 150
    exact = ALONE[quantity](tight, replace(DEFAULT, rtol=1e-4))
    assert exact.status is Status.EXACT
    assert exact.value == pytest.approx(truth, rel=1e-10)
    assert 300 <= tight.total_matvecs < 300 + 150


@pytest.mark.parametrize("quantity", list(ALONE))
def test_few_parameters_are_written_out_at_once(quantity: str) -> None:
    evaluation = Evaluation(spread(FEW))
    assert ALONE[quantity](evaluation, replace(DEFAULT, rtol=0.5)).status is Status.EXACT
    assert evaluation.total_matvecs == FEW


@pytest.mark.parametrize("quantity", list(ALONE))
def test_beyond_max_matvecs_the_budget_is_kept_and_said(quantity: str) -> None:
    point = spread(300)
    evaluation = Evaluation(point)
    found = ALONE[quantity](evaluation, Strategy(1e-4, 100, 2 << 30))
    assert found.status is Status.BUDGET
    assert evaluation.total_matvecs <= 100
    assert found.lower <= TRUTH[quantity](matrix(300)) <= found.upper


def test_a_given_route_is_followed() -> None:
    point = problem("tanh")
    written = trace_alone(Evaluation(point), replace(DEFAULT, route="dense"))
    assert written == dense_hessian(Evaluation(point)).trace(0.01)
    sampled = trace_alone(Evaluation(point), replace(DEFAULT, route="generic"))
    assert sampled.method.startswith("deflated hutchinson")


def test_sampled_intervals_hold() -> None:
    """Over 25 seeds, of which a 95 % interval may miss a few: P(more than 5 of 25) < 0.2 %."""
    point = spread(200)
    truth = {name: of(matrix(200)) for name, of in TRUTH.items()}
    missed = dict.fromkeys(ALONE, 0)
    for seed in range(25):
        evaluation = Evaluation(point, seed)
        for name, alone in ALONE.items():
            found = alone(evaluation, replace(DEFAULT, rtol=0.1))
            missed[name] += not found.lower <= truth[name] <= found.upper
    assert all(count <= 5 for count in missed.values()), missed


def test_asked_again_it_costs_nothing() -> None:
    evaluation = Evaluation(problem("tanh"))
    first: Estimate = trace_alone(evaluation, DEFAULT)
    spent = evaluation.total_matvecs
    assert trace_alone(evaluation, DEFAULT) is first
    assert evaluation.total_matvecs == spent > 0


def test_many_outputs_are_probed_and_not_written_out() -> None:
    """One pass for each of 600 outputs is dear beside probes on the outputs, and so are 602 products."""
    torch.manual_seed(3)  # the interval is one of 95 %: of some weights it misses
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 600, bias=False)).double()
    nn.init.ones_(model[0].weight)
    x = torch.linspace(0.5, 1.5, 10, dtype=torch.float64)[:, None]
    point = Problem(model, (x, torch.zeros(10, 600, dtype=torch.float64)), "mse")
    evaluation = Evaluation(point)
    found = trace_alone(evaluation, replace(DEFAULT, rtol=0.1))
    assert found.method.endswith("passes with output probes")
    assert evaluation.total_matvecs == 0
    assert found.lower <= float(layer_traces(point, structure_of(point)).sum()) <= found.upper
    tight = trace_alone(evaluation, replace(DEFAULT, rtol=1e-9))
    assert tight.status is Status.EXACT
    assert tight.value == pytest.approx(float(layer_traces(point, structure_of(point)).sum()), rel=1e-10)
