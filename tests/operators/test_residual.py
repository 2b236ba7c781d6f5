"""R = H - G by products: the part of the Hessian that the residuals weigh."""

import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.operators.gauss_newton import ResidualOperator
from tests.loops import each
from tests.networks import COVERING, fitted, oracle, problem


def whole(operator: ResidualOperator) -> Tensor:
    return operator.matmat(torch.eye(operator.shape[0]))


@each(case=COVERING)
def test_against_the_dense_difference(case: tuple[str, str, str]) -> None:
    """H - G of every network, symmetric; R has no diagonal where outputs are piecewise linear in each parameter."""
    R, exact = whole(ResidualOperator(problem(*case, batch_size=3))), oracle(*case)
    size = float(exact.hessian.abs().max())
    torch.testing.assert_close(R, exact.hessian - exact.gauss_newton, rtol=0, atol=1e-12 * size)
    torch.testing.assert_close(R, R.T, rtol=0, atol=1e-12 * size)
    if case[0] in ("relu", "one output"):
        torch.testing.assert_close(R.diag(), torch.zeros(len(R)).double(), rtol=0, atol=1e-12 * size)


@each(name=["relu", "tanh"])
def test_it_is_the_residuals_times_second_derivatives(name: str) -> None:
    """Targets mirrored at f turn R over and leave G: R(2 f - y) = -R(y)."""
    here = problem(name, "mse")
    f = here.outputs(here.theta, here.x)
    there = type(here)(here.model, (here.x, 2 * f - here.y), "mse")
    R = whole(ResidualOperator(here))
    assert float(R.abs().max()) > 0.1
    torch.testing.assert_close(whole(ResidualOperator(there)), -R, rtol=0, atol=1e-12 * float(R.abs().max()))


def test_nothing_is_left_at_an_exact_fit() -> None:
    """0 at a student that is its teacher, and in proportion to one residual beside it."""
    exact, off = whole(ResidualOperator(fitted())), whole(ResidualOperator(fitted(1e-3)))
    assert float(exact.abs().max()) < 1e-12
    assert float(off.abs().max()) > 1e-5
    torch.testing.assert_close(whole(ResidualOperator(fitted(-3e-3))), -3 * off, rtol=0, atol=1e-12)


def test_two_products_each() -> None:
    """Declared symmetric, of cost 2 a column either way, in the dtype of the problem."""
    operator = ResidualOperator(problem("relu", dtype=torch.float32))
    assert (operator.symmetric, operator.cost, operator.shape, operator.dtype) == (True, 2, (74, 74), torch.float32)
    counting = CountingOperator(operator)
    counting.matmat(torch.ones(74, 5))
    counting.rmatmat(torch.ones(74, 1))
    assert (counting.num_matvecs, counting.num_rmatvecs) == (12, 0)  # the adjoint is the product itself
