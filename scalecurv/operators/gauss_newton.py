"""The generalized Gauss-Newton matrix: the part of the Hessian with the second derivatives of the loss."""

from torch import Tensor

from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.products import gauss_newton_product
from scalecurv.operators.summed import SummedOperator
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch


class GaussNewtonOperator(SummedOperator):
    """G = sum_i J_i' M_i J_i + w I, P x P, M_i = c d^2 loss / df^2 at sample i, w the weight decay (Schraudolph 2002).

    H = G + R, where R holds the second derivatives of the model, weighted by the residuals.
    """

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        return gauss_newton_product(self.problem, batch)(V)


class ResidualOperator(LinearOperator):
    """R = H - G = sum_i sum_k (dloss_i / df_k) grad^2 f_k(x_i), P x P and symmetric; a product takes two.

    R is 0 where every residual is 0. Where residuals are small H and G nearly cancel: use float64.
    """

    symmetric = True
    cost = 2

    def __init__(self, problem: Problem):
        self._hessian, self._gauss_newton = HessianOperator(problem), GaussNewtonOperator(problem)
        self.shape, self.dtype, self.device = self._hessian.shape, problem.dtype, problem.device

    def _matmat(self, V: Tensor) -> Tensor:
        return self._hessian.matmat(V) - self._gauss_newton.matmat(V)
