"""The gradient as a vector, and H, G and J as operators, after the checks of the derivatives."""

from torch import Tensor

from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures.gradient import loss_and_slope
from scalecurv.notebook.point import checked, evaluation_of
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.quantities import SEED


def gradient(problem: Problem) -> Tensor:
    """Return the gradient g = dL/dtheta of shape (P,), in units of the loss over parameters.

    `problem.unflatten(g)` gives it by parameter. Raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # at the minimum, theta = 0
        >>> sc.gradient(problem).norm().item()
        0.0
    """
    _, _, g = loss_and_slope(evaluation_of(problem, SEED))  # it does not depend on the seed
    return g.clone()  # what is remembered stays as it is


def hessian(problem: Problem) -> LinearOperator:
    """Return the Hessian H = d^2 L / dtheta^2, P x P and symmetric, as an operator.

    `hessian(problem) @ V` is H V, for V of shape (P,) or (P, k), a tensor or an array. A product costs about two
    gradients (Pearlmutter 1994). Raises Misuse where the loss is no function of theta alone, CheckpointError where H
    fails its check against differences.

    Example:
        >>> import torch, scalecurv as sc
        >>> H = sc.hessian(sc.Problem.quadratic(1.0, 3.0))  # diag(1, 3)
        >>> (H @ torch.tensor([2.0, 4.0])).tolist()
        [2.0, 12.0]
    """
    return HessianOperator(checked(problem))


def gauss_newton(problem: Problem) -> LinearOperator:
    """Return the generalized Gauss-Newton matrix G = sum_i J_i' M_i J_i + w I, P x P and symmetric, as an operator.

    M_i = c d^2 loss / df^2 at sample i, c is 1/N for a mean and 1 for a sum, and w is the weight decay (Schraudolph
    2002). H - G holds the second derivatives of the model. Raises as `hessian` does.

    Example:
        >>> import torch, scalecurv as sc
        >>> G = sc.gauss_newton(sc.Problem.quadratic(1.0, 3.0))  # the model is linear, so that G = H
        >>> (G @ torch.tensor([2.0, 4.0])).tolist()
        [2.0, 12.0]
    """
    return GaussNewtonOperator(checked(problem))


def jacobian(problem: Problem) -> LinearOperator:
    """Return the Jacobian J = df/dtheta of all outputs over the data, (N D) x P, as an operator.

    Row i D + k belongs to output k of sample i. `jacobian(problem) @ V` pushes V of shape (P,) or (P, k) to the
    outputs; `.rmatmat(U)` pulls U of shape (N D, k) back to the parameters. Raises as `hessian` does.

    Example:
        >>> import torch, scalecurv as sc
        >>> J = sc.jacobian(sc.Problem.quadratic(1.0, 3.0))  # the outputs are the parameters, so that J = I
        >>> J.shape, (J @ torch.tensor([5.0, 7.0])).tolist()
        ((2, 2), [5.0, 7.0])
    """
    return JacobianOperator(checked(problem))
