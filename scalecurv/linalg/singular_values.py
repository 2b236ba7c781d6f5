"""Singular values of a rectangular operator by an adaptive randomized range finder."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.statistics.intervals import caution

STREAM = "range finder"
FIRST_SKETCH = 64
NUM_TESTS = 10  # fresh vectors that test a range
CHANCE = 1e-10  # of a sketch whose tests show too little of what it missed


@dataclass(frozen=True)
class SingularValues:
    """Leading singular values of an m x n operator: values[i] <= sigma_i <= values[i] + error.

    `values` is descending, shape (k,), float64; those past k are at most `error`, which may differ from value to
    value. `complete` says that none is missing (k = min(m, n)); otherwise the upper side holds but for a chance of
    10^-10 a sketch. `num_matvecs` counts the products with A and with A' together.
    """

    values: np.ndarray
    error: float | np.ndarray
    complete: bool
    shape: tuple[int, int]
    num_matvecs: int

    @property
    def confidence(self) -> float:
        """That the values and their errors hold all that there is."""
        if self.complete:
            return 1.0
        sketches = 1 + math.ceil(math.log2(max(len(self.values) / FIRST_SKETCH, 1)))  # any of them may have ended it
        return 1 - sketches * CHANCE


def singular_values(operator: Operand, seed: int, memory: int) -> SingularValues:
    """Sketch A (m, n) with 64, 128, ... Gaussian vectors until their range holds A to working precision.

    Y = A Omega, Q = orth(Y), B = Q'A: the singular values of B lie below those of A by at most |(I - QQ')A|,
    itself <= 10 sqrt(2/pi) max_j |(I - QQ')A w_j| over ten fresh Gaussian w_j but for a chance of 10^-10 (Halko,
    Martinsson and Tropp 2011, lemma 4.1; see `caution`). A sketch that would pass half of the smaller side is
    replaced by the whole side, which leaves no error. The sketch stops growing where Q, Y and B together would
    outgrow `memory` bytes.
    """
    operator = aslinearoperator(operator)
    m, n = operator.shape
    smaller = min(m, n)
    affordable = max(1, memory // ((2 * m + n) * operator.dtype.itemsize))
    tolerance = max(m, n) * torch.finfo(operator.dtype).eps
    Y = torch.empty(m, 0, dtype=operator.dtype, device=operator.device)
    size = FIRST_SKETCH
    while True:
        if 2 * size > smaller and smaller <= affordable:
            return _whole_side(operator, Y.shape[1])
        size = min(size, affordable)
        fresh = range(Y.shape[1], size + NUM_TESTS)  # the tests of one sketch are columns of the next
        Y = torch.cat([Y, operator.matmat(_gaussian(operator, seed, fresh))], dim=1)
        Q, R = torch.linalg.qr(Y[:, :size])
        missed, _ = project_out(Y[:, size:], Q)
        error = caution(CHANCE, NUM_TESTS) * float(norms(missed).max())
        largest = float(torch.linalg.matrix_norm(R, 2)) / (math.sqrt(n) + math.sqrt(size))  # not above sigma_1
        if error <= tolerance * largest or size == affordable:
            break
        size = 2 * size
    values = _descending(operator.rmatmat(Q))
    return SingularValues(values, error, False, operator.shape, Y.shape[1] + size)


def dense_values(A: Tensor) -> SingularValues:
    """All singular values of a matrix that is there; no product is taken."""
    return SingularValues(_descending(A), 0.0, True, (A.shape[0], A.shape[1]), 0)


def _whole_side(operator: LinearOperator, spent: int) -> SingularValues:
    m, n = operator.shape
    identity = torch.eye(min(m, n), dtype=operator.dtype, device=operator.device)
    whole = operator.rmatmat(identity) if m <= n else operator.matmat(identity)
    return SingularValues(_descending(whole), 0.0, True, operator.shape, spent + min(m, n))


def _gaussian(operator: LinearOperator, seed: int, ids: range) -> Tensor:
    return probes(operator.shape[1], seed, STREAM, ids, "gaussian", operator.dtype, operator.device)


def _descending(B: Tensor) -> np.ndarray:
    return torch.linalg.svdvals(B).double().cpu().numpy()


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
