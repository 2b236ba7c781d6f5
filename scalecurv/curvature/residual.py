"""What the Hessian has beyond the Gauss-Newton matrix: the part that the residuals weigh."""

from torch import Tensor

from scalecurv.curvature.gauss_newton import GaussNewtonOperator
from scalecurv.curvature.hessian import HessianOperator
from scalecurv.curvature.problem import Problem
from scalecurv.linalg.operator import LinearOperator


class ResidualOperator(LinearOperator):
    """R = H - G = sum_i sum_k (dloss_i / df_k) grad^2 f_k(x_i), P x P and symmetric; two products each.

    0 where every residual is; a difference of much that is alike nearby: take it in float64.
    """

    symmetric = True
    cost = 2

    def __init__(self, problem: Problem):
        self._hessian, self._gauss_newton = HessianOperator(problem), GaussNewtonOperator(problem)
        self.shape, self.dtype, self.device = self._hessian.shape, problem.dtype, problem.device

    def _matmat(self, V: Tensor) -> Tensor:
        return self._hessian.matmat(V) - self._gauss_newton.matmat(V)
