"""One number at a time: the same as the measures give, remembered as long as the problem lives."""

import gc
import re
import weakref
from functools import partial

import numpy as np
import pytest
import torch

import scalecurv as sc
from scalecurv.errors import CheckpointError
from scalecurv.measures import Curvature, Extremes, Moments, Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.principal.planes import ricci_curvature_at, sectional_curvature_at
from scalecurv.measures.route import Strategy
from scalecurv.operators.hessian import HessianOperator
from tests.dense import dense_at
from tests.networks import data, network, oracle, problem


@pytest.mark.parametrize(
    ("ask", "measure", "quantity"),
    [
        (sc.trace, Moments(0.2, 300), "trace"),
        (sc.scalar_curvature, Curvature(0.2, 300), "scalar_curvature"),
        (sc.lambda_max, Extremes(0.2, 300), "lambda_max"),
    ],
)
def test_the_answer_is_the_measures(ask, measure, quantity: str) -> None:
    for name in ("relu", "tanh"):
        point = sc.Problem(network(name), data("cross_entropy"))
        answer = ask(point, rtol=0.2, max_matvecs=300, seed=2)
        assert repr(answer) == repr(measure.compute(Evaluation(point, 2)).estimates[quantity])


def test_rank() -> None:
    point = problem("relu")
    assert sc.functional_rank(point) == Rank().compute(Evaluation(point)).estimates["rank"]
    assert sc.functional_rank(point, memory=1000).lower == 3  # one sample of three outputs
    assert sc.functional_rank(problem("tanh"), memory=1000).lower == 1  # one vector


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_directions(name: str) -> None:
    """As the measures' functions give it, with the options of tr H; of so few products that H is not written out."""
    point, strategy = sc.Problem(network(name), data("cross_entropy")), Strategy(0.2, 60, 2 << 30)
    u, v = torch.randn(2, point.num_params, generator=torch.Generator().manual_seed(0))
    fresh = Evaluation(point, 2)
    assert repr(sc.sectional_curvature(point, u, v)) == repr(sectional_curvature_at(fresh, u, v))
    answer = sc.ricci_curvature(point, u, rtol=0.2, max_matvecs=60, seed=2)
    assert repr(answer) == repr(ricci_curvature_at(fresh, u, strategy))
    assert (repr(sc.ricci_curvature(point, u, rtol=0.2, max_matvecs=60, seed=3)) == repr(answer)) == (name == "relu")


def test_the_hessian_is_an_operator() -> None:
    H = sc.hessian(problem("tied"))
    truth = oracle("tied").hessian.numpy()
    np.testing.assert_allclose(H @ np.eye(69), truth, atol=1e-12)
    torch.testing.assert_close(H @ torch.ones(69), torch.from_numpy(truth.sum(1)), rtol=1e-10, atol=1e-12)


def test_asking_again_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    point = problem("tanh")

    def answers() -> list[sc.Estimate]:
        few = {"max_matvecs": 70}  # so that H is not written out
        sampled = [sc.trace(point, **few), sc.trace(point, seed=1, **few), sc.trace(point, rtol=0.5, **few)]
        return [*sampled, sc.scalar_curvature(point, **few), sc.trace(point)]

    first = answers()

    def bug(self: HessianOperator, V: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a product was taken")

    monkeypatch.setattr(HessianOperator, "_matmat", bug)
    assert first == answers()
    assert len({e.value for e in first}) == 5


def test_a_problem_in_another_precision_has_its_own_answers() -> None:
    point = problem("relu")
    double = sc.trace(point)
    single = sc.trace(point.astype(torch.float32))
    assert single.value != double.value
    assert single.value == pytest.approx(double.value, rel=1e-5)


@pytest.mark.parametrize("ask", [sc.trace, sc.scalar_curvature, sc.lambda_max, sc.functional_rank])
def test_a_loss_that_overflows_is_located(ask) -> None:
    """Outputs of 1e30 are numbers in float32, their squares are not."""
    model = network("relu").float()
    with torch.no_grad():
        model[4].weight *= 1e30
    point = sc.Problem(model, data("mse"), "mse")
    assert point.outputs(point.theta, point.x).abs().max() < torch.inf
    seen = "the loss is inf at these weights, first seen in the loss at sample 0 (batch 0)"
    for point_at in (partial(sc.sectional_curvature, v=torch.arange(74)), sc.ricci_curvature):
        with pytest.raises(CheckpointError, match=f"^{re.escape(seen)}"):
            point_at(point, u=torch.ones(74))
    for _ in range(2):  # asked again, it is no better
        with pytest.raises(CheckpointError, match=f"^{re.escape(seen)}; there is no curvature to speak of$"):
            ask(point)
    double = point.astype(torch.float64)
    assert sc.trace(double).value == pytest.approx(dense_at(double).trace(), rel=1e-10)  # there it has one


def test_what_was_remembered_dies_with_the_problem() -> None:
    point = problem("relu")
    sc.trace(point, rtol=0.5)
    gone = weakref.ref(point)
    del point
    gc.collect()
    assert gone() is None


def test_the_public_names() -> None:
    assert {"Problem", "Estimate", "trace", "scalar_curvature", "lambda_max", "functional_rank", "hessian"} < set(
        sc.__all__
    )
    assert {"sectional_curvature", "ricci_curvature"} < set(sc.__all__) < set(dir(sc))
    wanted = f"module 'scalecurv' has no attribute 'tracee'; it offers {', '.join(sc.__all__)}"
    with pytest.raises(AttributeError, match=f"^{re.escape(wanted)}$"):
        sc.tracee  # noqa: B018
