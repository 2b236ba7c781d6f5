"""An operator that counts its products, so that the cost of a number is measured and not estimated."""

from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.operator import LinearOperator


class CountingOperator(LinearOperator):
    """The map of `operator` with counters.

    `num_matvecs` and `num_rmatvecs` count the columns multiplied by A and by A' since construction, each at `cost`.
    """

    def __init__(self, operator: Operand):
        operator = aslinearoperator(operator)
        self.operator = operator
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device
        self.symmetric, self.cost = operator.symmetric, operator.cost
        self.num_matvecs = 0
        self.num_rmatvecs = 0

    def _matmat(self, V: Tensor) -> Tensor:
        self.num_matvecs += self.cost * V.shape[1]
        return self.operator.matmat(V)

    def _rmatmat(self, U: Tensor) -> Tensor:
        self.num_rmatvecs += self.cost * U.shape[1]
        return self.operator.rmatmat(U)
