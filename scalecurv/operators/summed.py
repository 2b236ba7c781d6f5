"""Symmetric P x P matrices that are sums over the data, given by their product for one mini-batch."""

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor

from scalecurv.linalg.operator import LinearOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch


def by_columns(V: Tensor, num_rows: int, width: int, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Return [product(V_1), product(V_2), ...] (num_rows, k), where each V_j is `width` columns of V (n, k).

    Raises FloatingPointError where a product is not finite.
    """
    if 0 < V.shape[1] <= width:
        out = product(V).to(V.dtype)
    else:
        out = V.new_empty(V.shape[1], num_rows).T  # one vector after the other, as products come
        for start in range(0, V.shape[1], width):
            columns = slice(start, start + width)
            out[:, columns] = product(V[:, columns])
    if not _finite(out):
        raise FloatingPointError(f"a product in {V.dtype} is not finite; try --dtype float64, or look at the weights")
    return out


def _finite(block: Tensor) -> bool:
    """Return True where all entries are finite, in most cases from one sum, which writes nothing down."""
    return bool(block.sum().isfinite()) or bool(block.isfinite().all())


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
        return product.add(V, alpha=self.problem.weight_decay) if self.problem.weight_decay else product
