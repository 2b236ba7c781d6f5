"""Classical Gram-Schmidt, twice: orthogonal to working precision at the speed of matrix products."""

from torch import Tensor

from scalecurv.linalg.inner import gram


def project_out(V: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Two passes of V <- V - Q Q'V, for V (n, k) and orthonormal Q (n, j).

    Returns V with its component along Q removed, and the coefficients (j, k) in float64. Twice is enough:
    what the second pass cannot remove is rounding (Kahan, in Parlett 1998, sec. 6.9).
    """
    coefficients = gram(Q, V)
    V = V - Q @ coefficients.to(V.dtype)
    correction = gram(Q, V)
    return V - Q @ correction.to(V.dtype), coefficients + correction
