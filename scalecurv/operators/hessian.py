"""The Hessian of the loss, known by its products."""

from torch import Tensor

from scalecurv.operators.summed import SummedOperator
from scalecurv.problem.graphs import hessian_product
from scalecurv.problem.problem import Batch


class HessianOperator(SummedOperator):
    """H = grad^2 L(theta), P x P, weight decay included: one product is one more backward pass through the gradient.

    The pass up to g is shared by a whole block, and by all products where its graph fits into memory.
    """

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        return hessian_product(self.problem, batch)(V)
