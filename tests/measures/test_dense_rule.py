"""When H is written out: a rule, what is refused, what structure does better, and what is no Hessian."""

import re

import pytest
import torch
from torch import Tensor, nn

from scalecurv.errors import CheckpointError, Misuse
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.measures import Curvature, Extremes, GaussNewton, Moments, Principal, Spectrum
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Measure
from scalecurv.measures.route import Strategy, dense_bytes
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, network, oracle, problem

OPTIONS = (Moments, Extremes, Curvature, Principal, Spectrum, GaussNewton)


def holds(found: Estimate, truth: float, size: float) -> None:
    assert found.value == pytest.approx(truth, rel=1e-10, abs=1e-12 * size)
    assert found.status is Status.EXACT


def test_the_rule_is_one_product_a_parameter_and_room_for_the_matrices() -> None:
    at = problem("tanh")
    P = at.num_params
    for max_matvecs, memory, taken in (
        (P, dense_bytes(P), True),
        (P - 1, dense_bytes(P), False),
        (P, dense_bytes(P) - 1, False),
        (10 * P, 1 << 40, True),
    ):
        assert Strategy(0.01, max_matvecs, memory).dense_is_taken(at) is taken
        for route in ("exact", "sampled", "generic"):
            assert not Strategy(0.01, max_matvecs, memory, route).dense_is_taken(at)
    for measure, quantity in ((Moments, "trace"), (Extremes, "lambda_max"), (Curvature, "scalar_curvature")):
        for max_matvecs, status in ((P, Status.EXACT), (P - 1, Status.BUDGET)):
            found = measure(1e-9, max_matvecs).compute(Evaluation(at)).estimates[quantity]
            told = measure(1e-9, max_matvecs, route="sampled").compute(Evaluation(at)).estimates[quantity]
            assert (found.status, found == told) == (status, status is Status.BUDGET)


@each(measure=OPTIONS)
def test_what_does_not_fit_is_refused_in_a_line(measure: type[Measure]) -> None:
    at = problem("tanh")
    P, size = at.num_params, dense_bytes(at.num_params)
    asked = measure(max_matvecs=P - 1, route="dense")  # type: ignore[call-arg]
    words = f"route 'dense' takes {P} products, one a parameter, and max_matvecs is {P - 1}; give --max-matvecs {P}"
    with pytest.raises(Misuse, match=f"^measure {measure.name}: {re.escape(words)}, or leave the route out$"):
        asked.check(at)
    asked = measure(memory=size - 1, route="dense")  # type: ignore[call-arg]
    words = (
        f"route 'dense' needs {size} bytes for matrices of {P} x {P}, and memory is {size - 1}; give --memory {size}"
    )
    with pytest.raises(Misuse, match=f"^measure {measure.name}: {re.escape(words)}, or leave the route out$"):
        asked.check(at)
    with pytest.raises(Misuse, match=re.escape(words)):
        asked.compute(Evaluation(at))
    measure(max_matvecs=P, memory=size, route="dense").check(at)  # type: ignore[call-arg]


def test_structure_comes_first_and_its_trace_stays() -> None:
    at = problem("relu")
    evaluation = Evaluation(at)
    found = Moments().compute(evaluation).estimates
    assert (evaluation.total_matvecs, found["trace_h2"].method) == (0, "sum over pairs of samples and layers")
    x, y = data("mse", num_data=500)
    many = Problem(network("relu"), (x, y), "mse")
    assert not Strategy(0.01, 80, 1 << 30).square_is_exact(many, Strategy(0.01, 80, 1 << 30, "sampled").structure(many))
    truth = dense_at(many)
    for measure in (Moments(max_matvecs=80), Curvature(max_matvecs=80), Principal(max_matvecs=80)):
        found = measure.compute(Evaluation(many)).estimates
        for quantity, value in (("trace", truth.trace()), ("trace_h2", truth.trace_h2())):
            if quantity in found:
                holds(found[quantity], value, 1.0)
        for quantity in {"scalar_curvature", "scalar_curvature_convex"} & found.keys():
            holds(found[quantity], truth.curvature, truth.trace() ** 2)
    assert "backward passes" in Moments(max_matvecs=80).compute(Evaluation(many)).estimates["trace"].method
    told = Moments(max_matvecs=80, route="dense").compute(Evaluation(many)).estimates
    assert {told[quantity].method for quantity in told} == {"H written out, 74 products"}


def test_a_matrix_that_is_no_hessian_is_refused() -> None:
    H = oracle("tanh").hessian.clone()
    for off, fine in ((1e-10, True), (1e-6, False)):
        evaluation, A = Evaluation(problem("tanh")), H.clone()
        A[3, 40] += off * H.norm()
        evaluation.double_hessian = CountingOperator(DenseOperator(A))
        if fine:
            torch.testing.assert_close(dense_hessian(evaluation).matrix, H, rtol=0, atol=1e-9 * float(H.norm()))
            continue
        with pytest.raises(CheckpointError, match=r"^H is not symmetric: \|H - H'\| is 1.4e-06 of \|H\|"):
            Moments().compute(evaluation)


class Shifted(nn.Module):
    """What is added to all logits alike changes no probability: H in `shift` is 0, and in float64 rounding alone."""

    def __init__(self) -> None:
        super().__init__()
        self.logits, self.shift = nn.Linear(6, 3), nn.Parameter(torch.tensor([0.3, -0.7, 1.1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) + (x[:, :3] @ self.shift)[:, None]


def test_rounding_in_the_place_of_a_hessian_is_no_mistake_and_nothing_exact() -> None:
    asymmetric = 0
    for seed in range(8):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            at = Problem(Shifted().double(), data("cross_entropy", num_data=50), params="shift")
        evaluation = Evaluation(at)
        H = evaluation.double_hessian.matmat(torch.eye(3, dtype=torch.float64))
        asymmetric += float((H - H.T).norm()) > 0.1 * float(H.norm())
        found = Moments().compute(evaluation).estimates | Extremes().compute(evaluation).estimates
        for quantity in ("trace", "trace_h2", "lambda_max", "lambda_min"):
            assert found[quantity].lower <= 0 <= found[quantity].upper < 1e-12
            assert found[quantity].status is not Status.EXACT
    assert asymmetric == 8


def test_nothing_is_sampled_of_many_outputs_that_are_few_parameters() -> None:
    """40 backward passes are more than half of 50 products, all of H is not."""
    x, y = data("mse")[0][:, :1], torch.randn(7, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    at = Problem(nn.Sequential(nn.Linear(1, 40, bias=False)).double(), (x, y), "mse")
    wanted = 40 * float((x**2).mean())
    for measure in (Moments(max_matvecs=50), Moments(max_matvecs=50, route="dense")):
        holds(measure.compute(Evaluation(at)).estimates["trace"], wanted, 1.0)
    holds(GaussNewton(max_matvecs=50).compute(Evaluation(at)).estimates["trace_ggn"], wanted, 1.0)
    told = Moments(max_matvecs=50, route="sampled").compute(Evaluation(at)).estimates["trace"]
    assert told.method.endswith("passes with output probes")
