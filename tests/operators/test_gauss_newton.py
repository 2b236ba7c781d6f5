"""Gauss-Newton products against J'MJ, on every network, loss and reduction."""

import pytest
import torch

from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from tests.networks import CASES, network, oracle, problem


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize(("name", "loss", "reduction"), CASES)
def test_against_the_dense_matrix(name: str, loss: str, reduction: str, batch_size: int | None) -> None:
    G = GaussNewtonOperator(problem(name, loss, reduction, batch_size=batch_size))
    truth = oracle(name, loss, reduction).gauss_newton
    torch.testing.assert_close(G.matmat(torch.eye(len(truth))), truth, rtol=0, atol=1e-12 * float(truth.norm()))


@pytest.mark.parametrize(("reduction", "factor"), [("mean", 1 / 7), ("sum", 1.0)])
def test_for_mse_it_is_the_square_of_the_jacobian(reduction: str, factor: float) -> None:
    point, eye = problem("tied", "mse", reduction), torch.eye(69)
    J = JacobianOperator(point).matmat(eye)
    torch.testing.assert_close(GaussNewtonOperator(point).matmat(eye), factor * J.T @ J, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["tanh", "conv", "partly"])
def test_at_interpolation_it_is_the_hessian(name: str) -> None:
    model = network(name)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    point = Problem(model, (x, model(x).detach()), "mse")
    eye = torch.eye(point.num_params)
    H, G = HessianOperator(point).matmat(eye), GaussNewtonOperator(point).matmat(eye)
    torch.testing.assert_close(H, G, rtol=0, atol=1e-12)
    off, eye = problem(name), torch.eye(point.num_params)
    apart = HessianOperator(off).matmat(eye) - GaussNewtonOperator(off).matmat(eye)
    assert apart.norm() > 0.1  # and elsewhere it is not
