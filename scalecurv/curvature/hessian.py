"""The Hessian of the loss, known by its products."""

from torch import Tensor
from torch.func import grad, vjp, vmap

from scalecurv.curvature.problem import Batch
from scalecurv.curvature.risk import batch_loss
from scalecurv.curvature.summed import SummedOperator


class HessianOperator(SummedOperator):
    """H = grad^2 L(theta), P x P, weight decay included: one product is one extra backward pass through the gradient.

    H is symmetric, so the transposed derivative of the gradient, u -> (dg/dtheta)' u, is the product itself:
    the pass up to g is shared by a whole block and only the pull-back is repeated (Pearlmutter 1994 takes the
    forward derivative, which repeats both).
    """

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        _, pull = vjp(grad(batch_loss(self.problem, batch)), self.problem.theta)  # type: ignore[misc]
        return vmap(lambda v: pull(v)[0], in_dims=1)(V).T  # out_dims=1 is refused where nothing depends on v
