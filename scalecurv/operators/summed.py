"""Symmetric P x P matrices that are sums over the data, given by their product for one mini-batch."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from scalecurv.linalg.operator import LinearOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch


def by_columns(V: Tensor, num_rows: int, width: int, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Return [product(V_1), product(V_2), ...] (num_rows, k), where each V_j is `width` columns of V (n, k).

    Raises FloatingPointError where a product is not finite.
    """
    out = V.new_empty(num_rows, V.shape[1])
    for start in range(0, V.shape[1], width):
        columns = slice(start, start + width)
        out[:, columns] = product(V[:, columns])
    if not bool(torch.isfinite(out).all()):
        raise FloatingPointError(f"a product in {V.dtype} is not finite; try --dtype float64, or look at the weights")
    return out


class SummedOperator(LinearOperator):
    """sum_b A_b + w I, P x P and symmetric, given by V -> A_b V for each mini-batch b; w is the weight decay."""

    symmetric = True

    def __init__(self, problem: Problem):
        self.problem = problem
        self.shape = (problem.num_params, problem.num_params)
        self.dtype, self.device = problem.dtype, problem.device

    @abstractmethod
    def _product(self, batch: Batch, V: Tensor) -> Tensor:
        """Return A_b V of shape (P, k), for V of shape (P, k)."""

    def _matmat(self, V: Tensor) -> Tensor:
        return by_columns(V, self.shape[0], self.problem.columns, self._over_data)

    def _over_data(self, V: Tensor) -> Tensor:
        product = sum_over_data(self.problem, lambda batch: self._product(batch, V))
        return product + self.problem.weight_decay * V if self.problem.weight_decay else product
