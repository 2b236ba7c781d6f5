"""An operator that counts the products asked of it: what a number cost is measured, not estimated."""

from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.operator import LinearOperator


class CountingOperator(LinearOperator):
    """The same map as `operator`; `num_matvecs` and `num_rmatvecs` count columns, at their cost, since it was made."""

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
