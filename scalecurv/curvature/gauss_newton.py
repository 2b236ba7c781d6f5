"""The generalized Gauss-Newton matrix: the part of the Hessian that bends with the loss, not with the model."""

from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from scalecurv.curvature.problem import Batch
from scalecurv.curvature.summed import SummedOperator


class GaussNewtonOperator(SummedOperator):
    """G = sum_i J_i' M_i J_i + w I, P x P, M_i = c d^2 loss / df^2 at sample i, w the weight decay (Schraudolph 2002).

    H = G + R, where R carries the second derivatives of the model weighted by the residuals.
    """

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        problem = self.problem

        def outputs(theta: Tensor) -> Tensor:
            return problem.outputs(theta, batch.x)

        def loss(f: Tensor) -> Tensor:
            return problem.scale * problem.loss.total(f, batch.y)

        f, pull = vjp(outputs, problem.theta)  # type: ignore[misc]
        known = problem.loss.bend
        if known is not None:

            def bend(v: Tensor) -> Tensor:
                return problem.scale * known(f, batch.y, v)
        else:
            _, back = vjp(grad(loss), f)  # type: ignore[misc]  # M is symmetric: its pull-back is the product

            def bend(v: Tensor) -> Tensor:
                return back(v)[0]

        def product(v: Tensor) -> Tensor:
            _, change = jvp(outputs, (problem.theta,), (v,))  # type: ignore[misc]
            return pull(bend(change))[0]

        return vmap(product, in_dims=1)(V).T
