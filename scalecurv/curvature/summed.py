"""A symmetric P x P matrix that is a sum over the data: one product a mini-batch is all that sets two apart."""

from abc import abstractmethod

from torch import Tensor

from scalecurv.curvature.blocks import by_columns
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.risk import sum_over_data
from scalecurv.linalg.operator import LinearOperator


class SummedOperator(LinearOperator):
    """sum_b A_b + w I, P x P and symmetric, given by V -> A_b V for each mini-batch b; w is the weight decay."""

    symmetric = True

    def __init__(self, problem: Problem):
        self.problem = problem
        self.shape = (problem.num_params, problem.num_params)
        self.dtype, self.device = problem.dtype, problem.device

    @abstractmethod
    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        """A_b V of shape (P, k), for V of shape (P, k)."""

    def _matmat(self, V: Tensor) -> Tensor:
        return by_columns(V, self.shape[0], self.problem.columns, self._over_data)

    def _over_data(self, V: Tensor) -> Tensor:
        product = sum_over_data(self.problem, lambda batch: self._product(batch, V))
        return product + self.problem.weight_decay * V if self.problem.weight_decay else product
