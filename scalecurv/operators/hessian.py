"""The Hessian of the loss, given by its products."""

from torch import Tensor

from scalecurv.operators.products import hessian_product
from scalecurv.operators.summed import SummedOperator
from scalecurv.samples.batch import Batch


class HessianOperator(SummedOperator):
    """H = grad^2 L(theta), P x P, weight decay included: a product is a backward pass through the gradient.

    A block shares the pass that computes g; all products share it where its graph fits into memory (Pearlmutter 1994,
    Fast exact multiplication by the Hessian).

    Example:
        >>> import torch
        >>> from scalecurv.problem.problem import Problem
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> problem = Problem(model, (torch.tensor([[3.0]]), torch.tensor([[1.0]])), "mse")
        >>> HessianOperator(problem) @ torch.tensor([[2.0]])  # L = (3 theta - 1)^2 / 2, H = 9
        tensor([[18.]])
    """

    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        return hessian_product(self.problem, batch)(V)
