"""The generalized Gauss-Newton matrix: the part of the Hessian with the second derivatives of the loss."""

import torch
from torch import Tensor

from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.summed import SummedOperator
from scalecurv.problem.graphs import backend_of, linearized
from scalecurv.problem.problem import Problem
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch


class GaussNewtonOperator(SummedOperator):
    """G = sum_i J_i' M_i J_i + w I, P x P, M_i = c d^2 loss / df^2 at sample i, w the weight decay (Schraudolph 2002).

    H = G + R, where R holds the second derivatives of the model, weighted by the residuals.
    """

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        side = linearized(self.problem, batch)
        return side.pull(self._bent(side.f, batch, side.push(V)))

    def _bent(self, f: Tensor, batch: Batch, changes: Tensor) -> Tensor:
        """Return M times each column of `changes`, (B D, k)."""
        problem, known = self.problem, self.problem.loss.bend
        if known is not None:
            columns = [problem.scale * known(f, batch.y, v.reshape(f.shape)).flatten() for v in changes.T]
            return torch.stack(columns, dim=1)

        def loss(flat: Tensor) -> Tensor:
            return problem.scale * problem.loss.total(flat.reshape(f.shape), batch.y)

        with quoted(problem.model, f"the second derivative of loss {problem.loss.name}"), twice_differentiable():
            return backend_of(problem).hessian(loss, f.flatten())(changes)


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
