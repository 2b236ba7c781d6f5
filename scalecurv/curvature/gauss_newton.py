"""The generalized Gauss-Newton matrix: the part of the Hessian that bends with the loss, not with the model."""

from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from scalecurv.curvature.blocks import by_columns
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.risk import sum_over_data
from scalecurv.linalg.operator import LinearOperator


class GaussNewtonOperator(LinearOperator):
    """G = sum_i J_i' M_i J_i, P x P, M_i = c d^2 loss / df^2 at sample i (Schraudolph 2002).

    H = G + R, where R carries the second derivatives of the model weighted by the residuals.
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
        problem = self.problem

        def outputs(theta: Tensor) -> Tensor:
            return problem.outputs(theta, batch.x)

        def loss(f: Tensor) -> Tensor:
            return problem.scale * problem.loss.total(f, batch.y)

        f, pull = vjp(outputs, problem.theta)  # type: ignore[misc]
        _, bend = vjp(grad(loss), f)  # type: ignore[misc]  # M is symmetric: its pull-back is the product

        def product(v: Tensor) -> Tensor:
            _, change = jvp(outputs, (problem.theta,), (v,))  # type: ignore[misc]
            return pull(bend(change)[0])[0]

        return vmap(product, in_dims=1, out_dims=1)(V)
