"""The two parts of the Hessian beside each other: R, which is weighted by the residuals, and the Gauss-Newton matrix G.

|Hz|^2 - |Gz|^2 = Rz.(2 Gz + Rz) does not cancel where R is small, as a difference of two squares would.
"""

from torch import Tensor, cat

from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.products import residual_product
from scalecurv.operators.summed import SummedOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch


class _Residual(SummedOperator):
    """R = sum_i sum_k (c dloss_i / df_k) grad^2 f_k(x_i), P x P, by products of its own; without weight decay."""

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        return residual_product(self.problem, batch)(V)

    def _over_data(self, V: Tensor) -> Tensor:
        return sum_over_data(self.problem, lambda batch: self._product(batch, V))


class SplitOperator(LinearOperator):
    """The 2P x P matrix with R above G, H = R + G; weight decay is a part of G. A product takes two."""

    cost = 2

    def __init__(self, problem: Problem):
        self._residual, self._gauss_newton = _Residual(problem), GaussNewtonOperator(problem)
        self.shape = (2 * problem.num_params, problem.num_params)
        self.dtype, self.device = problem.dtype, problem.device

    def _matmat(self, V: Tensor) -> Tensor:
        return cat([self._residual.matmat(V), self._gauss_newton.matmat(V)])
