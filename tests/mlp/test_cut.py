"""Where nothing depends on theta: zero by construction is an answer, a graph that is cut is none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from scalecurv.errors import Misuse
from scalecurv.measures import GaussNewton, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.networks import data, network, problem

W = 0.5
V = torch.randn(74, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def l1(f: Tensor, y: Tensor) -> Tensor:
    return (f - y).abs().sum(1)


@each(w=[0.0, W])
def test_a_loss_without_curvature_has_no_gauss_newton_matrix(w: float) -> None:
    at = Problem(network("tanh"), data("mse"), l1, weight_decay=w, batch_size=3)
    preflight(at)
    torch.testing.assert_close(GaussNewtonOperator(at) @ V, w * V, rtol=0, atol=1e-12)
    found = GaussNewton().compute(Evaluation(at)).estimates
    assert found["lambda_max_ggn"].value == pytest.approx(w, abs=1e-12)


def test_a_linear_model_of_a_linear_loss_has_no_hessian() -> None:
    model = nn.Sequential(nn.Linear(6, 3)).double()
    at = Problem(model, data("mse"), lambda f, y: f[:, 0], weight_decay=W)
    v = V[: at.num_params]
    torch.testing.assert_close(HessianOperator(at) @ v, W * v, rtol=0, atol=1e-12)
    found = Moments().compute(Evaluation(at)).estimates
    assert found["trace"].lower - 1e-12 <= W * at.num_params <= found["trace"].upper + 1e-12


def test_a_block_that_moves_no_output() -> None:
    """`unused` of a model takes no part: of L it is the weight decay alone."""
    at = problem("partly", params="^unused", weight_decay=W)
    preflight(at)
    v = V[:3]
    torch.testing.assert_close(HessianOperator(at) @ v, W * v, rtol=0, atol=0)
    torch.testing.assert_close(GaussNewtonOperator(at) @ v, W * v, rtol=0, atol=0)
    J = JacobianOperator(at)
    assert torch.equal(J @ v, torch.zeros(J.shape[0], 2, dtype=torch.float64))
    assert torch.equal(J.rmatmat(torch.ones(J.shape[0], 2, dtype=torch.float64)), torch.zeros(3, 2).double())


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network("relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).detach()


class Ungraded(Detached):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.inner(x)


@each(model=[Detached, Ungraded])
def test_a_model_that_cuts_its_graph(model: Callable[[], nn.Module]) -> None:
    with pytest.raises(Misuse) as caught:
        preflight(Problem(model(), data("mse"), "mse"))
    assert str(caught.value) == (
        "no output of the model depends on a trainable parameter: its forward detaches them, leaves torch or runs "
        "under torch.no_grad(); take that out"
    )


def test_a_loss_that_cuts_its_graph() -> None:
    def first_order(f: Tensor, y: Tensor) -> Tensor:
        return ((f.detach() - y) ** 2).sum(1)

    with pytest.raises(Misuse) as caught:
        preflight(Problem(network("relu"), data("mse"), first_order))
    said = "loss first_order does not depend on the outputs: it detaches them or leaves torch; take that out"
    assert str(caught.value) == said
