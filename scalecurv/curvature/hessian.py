"""The Hessian of the loss, known by its products."""

from torch import Tensor
from torch.func import grad, vjp, vmap

from scalecurv.curvature.blocks import by_columns
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.risk import batch_loss, sum_over_data
from scalecurv.linalg.operator import LinearOperator


class HessianOperator(LinearOperator):
    """H = grad^2 L(theta), P x P: one product is one extra backward pass through the gradient.

    H is symmetric, so the transposed derivative of the gradient, u -> (dg/dtheta)' u, is the product itself:
    the pass up to g is shared by a whole block and only the pull-back is repeated (Pearlmutter 1994 takes the
    forward derivative, which repeats both).
    """

    symmetric = True

    def __init__(self, problem: Problem):
        self.problem = problem
        self.shape = (problem.num_params, problem.num_params)
        self.dtype, self.device = problem.dtype, problem.device

    def _matmat(self, V: Tensor) -> Tensor:
        return by_columns(V, self.shape[0], self.problem.columns, self._over_data)

    def _over_data(self, V: Tensor) -> Tensor:
        return sum_over_data(self.problem, lambda batch: self._product(batch, V))

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        _, pull = vjp(grad(batch_loss(self.problem, batch)), self.problem.theta)  # type: ignore[misc]
        return vmap(lambda v: pull(v)[0], in_dims=1, out_dims=1)(V)
