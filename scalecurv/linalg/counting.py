"""An operator that counts its products, so that the cost of a number is measured and not estimated."""

from collections.abc import Callable

from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.operator import LinearOperator

Hear = Callable[[int], object]  # it is told a number of products once they are taken


class CountingOperator(LinearOperator):
    """The map of `operator` with counters.

    `num_matvecs` and `num_rmatvecs` count the columns multiplied by A and by A' since construction, each at `cost`.
    `hear` is told the count of each block once it is multiplied.
    """

    def __init__(self, operator: Operand, hear: Hear | None = None):
        operator = aslinearoperator(operator)
        self.operator = operator
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device
        self.symmetric, self.cost = operator.symmetric, operator.cost
        self.num_matvecs = 0
        self.num_rmatvecs = 0
        self._hear = hear

    def _matmat(self, V: Tensor) -> Tensor:
        count = self.cost * V.shape[1]
        self.num_matvecs += count
        product = self.operator.matmat(V)
        if self._hear is not None:
            self._hear(count)
        return product

    def _rmatmat(self, U: Tensor) -> Tensor:
        count = self.cost * U.shape[1]
        self.num_rmatvecs += count
        product = self.operator.rmatmat(U)
        if self._hear is not None:
            self._hear(count)
        return product
