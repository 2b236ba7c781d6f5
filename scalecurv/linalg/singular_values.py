"""Singular values of a rectangular operator, by an adaptive randomized range finder, and of matrices."""

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
CHANCE = 1e-10  # that the tests of one sketch show too little of what it missed


@dataclass(frozen=True)
class SingularValues:
    """Leading singular values of an m x n operator: values[i] <= sigma_i <= values[i] + error.

    `values` is descending, shape (k,), float64. `error` is one number or one for each value; singular values past k
    are at most its maximum. `complete` is True where none is missing (k = min(m, n)); otherwise the upper bounds fail
    with a chance of at most 10^-10 a sketch. `num_matvecs` counts the products with A and with A' together.
    """

    values: np.ndarray
    error: float | np.ndarray
    complete: bool
    shape: tuple[int, int]
    num_matvecs: int

    @property
    def confidence(self) -> float:
        """The probability that the two-sided bounds hold for all singular values."""
        if self.complete:
            return 1.0
        sketches = 1 + math.ceil(
            math.log2(max(len(self.values) / FIRST_SKETCH, 1))
        )  # any of them may have been the last
        return 1 - sketches * CHANCE


def singular_values(operator: Operand, seed: int, memory: int, products: int | None = None) -> SingularValues:
    """Return the singular values of A (m, n) from a sketch of 64, 128, ... Gaussian vectors.

    The sketch grows until its range holds A to working precision. Y = A Omega, Q = orth(Y), B = Q'A: the singular
    values of B are below those of A by at most |(I - QQ')A|. That norm exceeds 10 sqrt(2/pi) max_j |(I - QQ')A w_j|
    over ten fresh Gaussian w_j with a chance of at most 10^-10 (Halko, Martinsson and Tropp 2011, lemma 4.1; see
    `caution`). Where the sketch would pass half of the smaller side, the whole side is taken, which leaves no error.
    The sketch does not grow where Q, Y and B together would need more than `memory` bytes, nor past `products` products
    in all.
    """
    operator = aslinearoperator(operator)
    m, n = operator.shape
    smaller = min(m, n)
    held = max(1, memory // ((2 * m + n) * operator.dtype.itemsize))
    limit = math.inf if products is None else products
    affordable = held if products is None else max(1, min(held, (products - NUM_TESTS) // 2))
    tolerance = max(m, n) * torch.finfo(operator.dtype).eps
    Y = torch.empty(m, 0, dtype=operator.dtype, device=operator.device)
    size = FIRST_SKETCH
    while True:
        if 2 * size > smaller and smaller <= held and Y.shape[1] + smaller <= limit:
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
    """Return all singular values of an explicit matrix, at no product."""
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
    """Return the singular values of J (m, n) from J J' in float64, whose entries are sums of `terms` products.

    The eigenvalues of J J' are off by at most (terms + m) eps tr(J J'), from the rounding of its entries and of the
    decomposition (Higham 2002, chapter 3; Weyl's inequality). The error of a singular value is that of a square root:
    large values are sharp, and those below 1e-6 of the largest are lost.
    """
    squares = torch.linalg.eigvalsh(gram).flip(0).double().cpu().numpy()
    slack = (terms + len(gram)) * float(np.finfo(np.float64).eps) * float(gram.trace())
    lower, upper = (np.sqrt(np.maximum(squares + move, 0.0)) for move in (-slack, slack))
    kept = min(shape)
    return SingularValues(lower[:kept], (upper - lower)[:kept], True, shape, 0)
