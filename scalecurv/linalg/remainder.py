"""What is left of a symmetric operator outside a subspace: R A R, R = I - QQ'."""

from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.lanczos import ADVICE
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.orthogonalize import project_out


class Remainder(LinearOperator):
    """z -> R A R z for orthonormal Q of shape (n, k); one product of A each.

    Its eigenvalues outside Q interlace with those of A, so that no bound on |A| is ever too small for it.
    """

    symmetric = True

    def __init__(self, operator: Operand, Q: Tensor):
        operator = aslinearoperator(operator)
        if not operator.symmetric:
            raise TypeError(f"a remainder needs a symmetric operator, {operator.name} is not declared so; {ADVICE}")
        self.operator, self.Q = operator, Q
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device

    def _matmat(self, V: Tensor) -> Tensor:
        outside, _ = project_out(V, self.Q)
        product, _ = project_out(self.operator.matmat(outside), self.Q)
        return product
