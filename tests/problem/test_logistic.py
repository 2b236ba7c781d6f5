"""The logistic loss: cross-entropy of two classes, of which the first output is 0."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import hessian

from scalecurv.errors import Misuse
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import runner_up
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.losses import loss_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import data, network

X = data("mse")[0]
CLASSES = torch.tensor([0, 1, 1, 0, 1, 0, 0])


class TwoOutputs(nn.Module):
    """(0, f) of a network of one output."""

    def __init__(self, one: nn.Module):
        super().__init__()
        self.one = one

    def forward(self, x: Tensor) -> Tensor:
        f = self.one(x)
        return torch.cat([torch.zeros_like(f), f], dim=1)


@each(
    reduction=["mean", "sum"],
    y=[CLASSES, CLASSES.double(), CLASSES.bool(), torch.linspace(0, 1, 7, dtype=torch.float64)],
)
def test_it_is_cross_entropy_of_two_classes(y: Tensor, reduction: str) -> None:
    model = network("one output")
    at = Problem(model, (X, y), "logistic", reduction=reduction, batch_size=3)
    pairs = torch.stack([1 - y.double(), y.double()], dim=1)
    other = Problem(TwoOutputs(model), (X, pairs), "cross_entropy", reduction=reduction)
    (value, gradient), (wanted, slope) = loss_and_gradient(at), loss_and_gradient(other)
    assert value == pytest.approx(wanted, rel=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-11, atol=1e-12)
    eye = torch.eye(at.num_params, dtype=torch.float64)
    for operator in (HessianOperator, GaussNewtonOperator):
        torch.testing.assert_close(operator(at) @ eye, operator(other) @ eye, rtol=1e-10, atol=1e-12)


def test_targets_that_are_a_column_are_the_same() -> None:
    y = torch.linspace(0, 1, 7, dtype=torch.float64)
    model = network("one output")
    assert torch.equal(Problem(model, (X, y[:, None]), "logistic").y, Problem(model, (X, y), "logistic").y)


def test_the_structure_gives_what_products_give() -> None:
    at = Problem(network("one output"), (X, CLASSES), "logistic")
    H = HessianOperator(at) @ torch.eye(at.num_params, dtype=torch.float64)
    found = Moments().compute(Evaluation(at)).estimates
    assert found["trace"].value == pytest.approx(float(H.trace()), rel=1e-11)
    assert found["trace_h2"].value == pytest.approx(float((H**2).sum()), rel=1e-11)
    assert (str(found["trace"].status), str(found["trace_h2"].status)) == ("exact", "exact")
    generic = Curvature(route="generic", rtol=0.1).compute(Evaluation(at)).estimates["scalar_curvature"]
    exact = Curvature().compute(Evaluation(at)).estimates["scalar_curvature"]
    assert abs(generic.value - exact.value) <= 2.5 * generic.halfwidth


@each(sign=[1, -1], margin=[0.0, 1.0, 30.0, 600.0])
def test_what_bends_where_a_class_is_all_but_certain(margin: float, sign: int) -> None:
    """p (1 - p) to the last digit, where 1 - p is nothing beside 1."""
    f = torch.tensor([[sign * margin]], dtype=torch.float64)
    q = torch.tensor(-margin, dtype=torch.float64).exp() / (1 + torch.tensor(-margin, dtype=torch.float64).exp()) ** 2
    y, v = torch.ones_like(f), torch.tensor([[3.0]], dtype=torch.float64)
    loss = loss_of("logistic").on((1,), y)
    factor, bend, second = loss.factor, loss.bend, loss.second
    assert factor is not None
    assert bend is not None
    assert second is not None
    assert factor(f, y).shape == (1, 1, 1)
    assert float(factor(f, y) ** 2) == pytest.approx(float(q), rel=1e-12, abs=0)
    assert float(bend(f, y, v)) == pytest.approx(3 * float(q), rel=1e-12, abs=0)
    assert float(second(f, y)) == pytest.approx(float(1 / (1 + torch.tensor(margin).double().exp())), rel=1e-12)
    if margin < 2:
        by_autograd = hessian(lambda t: loss.total(t, y))(f).item()
        assert by_autograd == pytest.approx(float(q), rel=1e-12)


def test_where_all_are_certain_products_know_their_rounding() -> None:
    sure = nn.Sequential(nn.Linear(1, 1, bias=False)).double()
    with torch.no_grad():
        sure[0].weight.fill_(1.0)
    x = torch.tensor([[20.0], [-25.0]], dtype=torch.float64)
    at = Problem(sure, (x, torch.tensor([1, 0])), "logistic")
    assert runner_up(at) == pytest.approx(float((-torch.tensor(20.0).double()).exp()), rel=1e-6)
    exact = sum(float(p * (1 - p)) * float(v) ** 2 for v in x for p in [1 / (1 + (-v).exp())]) / 2
    found = Moments(route="generic").compute(Evaluation(at)).estimates["trace"]
    assert found.lower <= exact <= found.upper
    assert found.halfwidth > 0


TAKES = "; logistic takes classes 0 and 1, or probabilities of class 1; "


@pytest.mark.parametrize(
    ("y", "num_outputs", "message"),
    [
        (CLASSES, 3, "y has shape (7,) but the model has 3 outputs; use cross_entropy, which fits them"),
        (torch.zeros(7, 2), 1, "y has shape (7, 2) but the model has 1 output; give y of shape (N, 1)"),
        (
            2 * CLASSES - 1,
            1,
            f"y runs from -1 to 1{TAKES}give (y + 1) / 2, or use SoftMarginLoss, which takes labels -1 and 1",
        ),
        (torch.full((7,), 1.5), 1, f"y runs from 1.5 to 1.5{TAKES}use mse, which fits them"),
    ],
)
def test_targets_that_do_not_do(y: Tensor, num_outputs: int, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        loss_of("logistic").on((num_outputs,), y).targets(y)
    assert str(caught.value) == message
