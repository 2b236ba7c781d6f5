"""A linear map given by its products with blocks of column vectors."""

from abc import ABC, abstractmethod
from typing import TypeVar

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

Block = TypeVar("Block", Tensor, np.ndarray)


class LinearOperator(ABC):
    """A real m x n matrix given by V -> A V, for V of shape (n, k).

    A subclass sets `shape`, `dtype` and `device` and defines `_matmat`, and a rectangular one also `_rmatmat`
    (U -> A' U). The author of the subclass declares `symmetric`; it is never tested. `cost` is the number of products
    that a column counts for: 1, or 2 for an operator that is the product of two.
    """

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    symmetric: bool = False
    cost: int = 1

    @property
    def name(self) -> str:
        """The name of the operator in error messages."""
        return type(self).__name__

    @abstractmethod
    def _matmat(self, V: Tensor) -> Tensor:
        """Return A V of shape (m, k), for V of shape (n, k) in this operator's dtype and device."""

    def _rmatmat(self, U: Tensor) -> Tensor:
        """Return A' U of shape (n, k), for U of shape (m, k)."""
        raise TypeError(f"{self.name} has no adjoint product: define _rmatmat, or declare it symmetric")

    def matmat(self, V: Tensor) -> Tensor:
        """Return A V of shape (m, k); raises ValueError where V is not a block of shape (n, k)."""
        self._check(V, self.shape[1])
        return self._matmat(V.to(self.device, self.dtype))

    def rmatmat(self, U: Tensor) -> Tensor:
        """Return A' U of shape (n, k); raises ValueError where U is not a block of shape (m, k)."""
        self._check(U, self.shape[0])
        U = U.to(self.device, self.dtype)
        return self._matmat(U) if self.symmetric else self._rmatmat(U)

    def matvec(self, v: Tensor) -> Tensor:
        """Return A v of shape (m,), for v of shape (n,)."""
        return self.matmat(v[:, None])[:, 0]

    def __matmul__(self, V: Block) -> Block:
        """Return A V for a vector (n,) or a block (n, k): a tensor for a tensor, a NumPy array for an array."""
        block = (
            torch.from_numpy(np.require(V, requirements=("C", "W")))
            if isinstance(V, np.ndarray)
            else torch.as_tensor(V)
        )
        product = self.matvec(block) if block.ndim == 1 else self.matmat(block)
        return product.cpu().numpy() if isinstance(V, np.ndarray) else product

    def to_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """Return this map as a SciPy operator, which takes and returns NumPy arrays in the NumPy dtype of this one."""
        return scipy.sparse.linalg.LinearOperator(
            self.shape,
            matvec=lambda v: self @ v.reshape(-1),
            matmat=lambda V: self @ V,
            rmatvec=lambda u: self._adjoint(u.reshape(-1, 1))[:, 0],
            rmatmat=self._adjoint,
            dtype=torch.empty(0, dtype=self.dtype).numpy().dtype,
        )

    def _adjoint(self, U: np.ndarray) -> np.ndarray:
        return self.rmatmat(torch.from_numpy(np.require(U, requirements=("C", "W")))).cpu().numpy()

    def _check(self, V: Tensor, rows: int) -> None:
        if V.ndim != 2 or V.shape[0] != rows:
            raise ValueError(
                f"{self.name} {self.shape[0]} x {self.shape[1]} got a block of shape {tuple(V.shape)}; "
                f"give shape ({rows}, k), one vector a column"
            )
