"""Singular values from inner products alone, with what squaring them costs."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.range_finder import SingularValues


def gram_values(gram: Tensor, terms: int, shape: tuple[int, int]) -> SingularValues:
    """The singular values of J (m, n) from J J', float64, whose entries are sums of `terms` products.

    The eigenvalues are off by at most (terms + m) eps tr(J J'): the rounding of each entry, of which the norm of
    |J| |J|' is a bound, and that of the decomposition (Higham 2002, chapter 3; Weyl's inequality). What this leaves of
    a singular value is its square root: large ones are sharp, those below 1e-6 of the largest are lost.
    """
    squares = torch.linalg.eigvalsh(gram).flip(0).double().cpu().numpy()
    slack = (terms + len(gram)) * float(np.finfo(np.float64).eps) * float(gram.trace())
    lower, upper = (np.sqrt(np.maximum(squares + move, 0.0)) for move in (-slack, slack))
    kept = min(shape)
    return SingularValues(lower[:kept], (upper - lower)[:kept], True, shape, 0)
