"""A matrix that is there: the oracle side of every test."""

import torch
from torch import Tensor

from scalecurv.linalg.operator import LinearOperator


class DenseOperator(LinearOperator):
    """The operator of an explicit matrix A of shape (m, n)."""

    def __init__(self, A: Tensor, symmetric: bool | None = None):
        if A.ndim != 2:
            raise ValueError(f"a matrix has two axes, this array has shape {tuple(A.shape)}")
        self.A = A
        self.shape = (A.shape[0], A.shape[1])
        self.dtype = A.dtype
        self.device = A.device
        self.symmetric = bool(A.shape[0] == A.shape[1] and torch.equal(A, A.T)) if symmetric is None else symmetric

    def _matmat(self, V: Tensor) -> Tensor:
        return self.A @ V

    def _rmatmat(self, U: Tensor) -> Tensor:
        return self.A.T @ U
