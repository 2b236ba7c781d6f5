"""Gauss-Newton products against J'MJ, on every network, loss and reduction."""

import pytest
import torch

from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.networks import COVERING, network, oracle, problem


@each(case=COVERING, batch_size=[None, 3])
def test_against_the_dense_matrix(case: tuple[str, str, str], batch_size: int | None) -> None:
    G = GaussNewtonOperator(problem(*case, batch_size=batch_size))
    truth = oracle(*case).gauss_newton
    torch.testing.assert_close(G.matmat(torch.eye(len(truth))), truth, rtol=0, atol=1e-12 * float(truth.norm()))


@pytest.mark.parametrize(("reduction", "factor"), [("mean", 1 / 7), ("sum", 1.0)])
def test_for_mse_it_is_the_square_of_the_jacobian(reduction: str, factor: float) -> None:
    point, eye = problem("tied", "mse", reduction), torch.eye(69)
    J = JacobianOperator(point).matmat(eye)
    torch.testing.assert_close(GaussNewtonOperator(point).matmat(eye), factor * J.T @ J, rtol=0, atol=1e-12)


@each(name=["tanh", "conv", "partly"])
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
