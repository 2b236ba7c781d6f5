"""A linear map given by its products with blocks of column vectors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from scalecurv.machine import allowed

COLUMNS = 64  # unit vectors that `to_dense` multiplies at once

Operation = TypeVar("Operation", bound=Callable[..., "LinearOperator"])
# the functions behind + * @ and .T: `algebra` needs the class below and so cannot be imported here; `linalg/__init__`
# imports it, so that they are there before any operator is
_OPERATIONS: dict[str, Callable[..., "LinearOperator"]] = {}


def operation(symbol: str) -> Callable[[Operation], Operation]:
    """Return a decorator that makes a function the operation `symbol` of all operators."""

    def registered(function: Operation) -> Operation:
        _OPERATIONS[symbol] = function
        return function

    return registered


class LinearOperator(ABC):
    """A real m x n matrix given by V -> A V, for V of shape (n, k).

    A subclass sets `shape`, `dtype` and `device` and defines `_matmat`, and a rectangular one also `_rmatmat`
    (U -> A' U). The author of the subclass declares `symmetric`; it is never tested. `cost` is the number of products
    that a column counts for: 1, or more for an operator that is made of others.

    Operators are added, subtracted, scaled, composed and transposed: A + B, A - B, -A, 2 * A, A / 2, A @ B, A.T. The
    other side may be any matrix or operator that `aslinearoperator` takes; see `linalg.algebra` for the rules.

    Example:
        >>> class Doubled(LinearOperator):
        ...     shape, dtype, device, symmetric = (2, 2), torch.float64, torch.device("cpu"), True
        ...
        ...     def _matmat(self, V):
        ...         return 2 * V
        >>> A = Doubled()
        >>> A @ torch.tensor([1.0, 2.0], dtype=torch.float64), (A + A).to_dense()[0]
        (tensor([2., 4.], dtype=torch.float64), tensor([4., 0.], dtype=torch.float64))
    """

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    symmetric: bool = False
    cost: int = 1
    __array_ufunc__ = None  # NumPy leaves array + A, array @ A and number * A to this class

    @property
    def name(self) -> str:
        """The name of the operator in error messages."""
        return type(self).__name__

    def __repr__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        return f"{self.name}({self.shape[0]} x {self.shape[1]}, {kind}, {self.device})"

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

    @overload
    def __matmul__(self, other: Tensor) -> Tensor: ...
    @overload
    def __matmul__(self, other: np.ndarray) -> np.ndarray: ...
    @overload
    def __matmul__(self, other: "LinearOperator") -> "LinearOperator": ...
    @overload
    def __matmul__(self, other: Any) -> Any: ...
    def __matmul__(self, other: Any) -> Any:
        """Return A V for a vector (n,) or a block (n, k), as a tensor or array like V, or the operator A B."""
        if _is_operator(other):
            return _OPERATIONS["@"](self, other)
        block = _as_tensor(other)
        product = self.matvec(block) if block.ndim == 1 else self.matmat(block)
        return product.cpu().numpy() if isinstance(other, np.ndarray) else product

    @overload
    def __rmatmul__(self, other: Tensor) -> Tensor: ...
    @overload
    def __rmatmul__(self, other: np.ndarray) -> np.ndarray: ...
    @overload
    def __rmatmul__(self, other: Any) -> Any: ...
    def __rmatmul__(self, other: Any) -> Any:
        """Return U A for a vector (m,) or a block (k, m), as a tensor or array like U, or the operator B A."""
        if _is_operator(other):
            return _OPERATIONS["@"](other, self)
        block = _as_tensor(other)
        product = self.rmatmat(block[:, None])[:, 0] if block.ndim == 1 else self.rmatmat(block.T).T
        return product.cpu().numpy() if isinstance(other, np.ndarray) else product

    def __add__(self, other: Any) -> "LinearOperator":
        return _OPERATIONS["+"](self, other)

    def __radd__(self, other: Any) -> "LinearOperator":
        return _OPERATIONS["+"](other, self)

    def __sub__(self, other: Any) -> "LinearOperator":
        return _OPERATIONS["-"](self, other)

    def __rsub__(self, other: Any) -> "LinearOperator":
        return _OPERATIONS["-"](other, self)

    def __mul__(self, factor: Any) -> "LinearOperator":
        return _OPERATIONS["*"](self, factor)

    def __rmul__(self, factor: Any) -> "LinearOperator":
        return _OPERATIONS["*"](self, factor)

    def __truediv__(self, divisor: Any) -> "LinearOperator":
        return _OPERATIONS["/"](self, divisor)

    def __neg__(self) -> "LinearOperator":
        return _OPERATIONS["*"](self, -1.0)

    @property
    def T(self) -> "LinearOperator":
        """The transpose, (n, m); a symmetric operator is its own."""
        return self if self.symmetric else _OPERATIONS["T"](self)

    def to_dense(self, memory: int | None = None) -> Tensor:
        """Return the matrix (m, n) from min(m, n) products, or from n where the operator has no adjoint.

        Raises ValueError where the matrix takes more than `memory` bytes, by default a quarter of the machine's.
        """
        (m, n), size = self.shape, self.shape[0] * self.shape[1] * self.dtype.itemsize
        if size > (memory := allowed(memory)):
            raise ValueError(
                f"{self.name} {m} x {n} takes {size} bytes as a matrix, and memory is {memory}; "
                f"multiply by vectors, or give to_dense(memory={size})"
            )
        if m < n:
            try:
                return _columns(self.rmatmat, n, m, self).T
            except TypeError:  # no adjoint is defined, which an operator of another library tells in a product only
                pass
        return _columns(self.matmat, m, n, self)

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
        return self.rmatmat(_as_tensor(U)).cpu().numpy()

    def _check(self, V: Tensor, rows: int) -> None:
        if V.ndim != 2 or V.shape[0] != rows:
            raise ValueError(
                f"{self.name} {self.shape[0]} x {self.shape[1]} got a block of shape {tuple(V.shape)}; "
                f"give shape ({rows}, k), one vector a column"
            )


def _is_operator(other: Any) -> bool:
    """Return True where `other` has a shape and takes @, and is neither an array nor a dense tensor."""
    if isinstance(other, Tensor):
        return other.layout is not torch.strided
    return not isinstance(other, np.ndarray) and hasattr(other, "shape") and hasattr(other, "__matmul__")


def _as_tensor(block: Any) -> Tensor:
    return from_array(block) if isinstance(block, np.ndarray) else torch.as_tensor(block)


def from_array(array: np.ndarray) -> Tensor:
    """Return the tensor of an array: of its memory where torch takes it, else of a copy in native byte order.

    torch takes writable memory only, without negative strides, which an axis of length 1 has in contiguous arrays too.
    """
    native = np.require(array, array.dtype.newbyteorder("="), ("C", "W"))
    return torch.from_numpy(native.copy(order="C") if any(stride < 0 for stride in native.strides) else native)


def _columns(product: Callable[[Tensor], Tensor], rows: int, count: int, like: LinearOperator) -> Tensor:
    """Return the products (rows, count) with all `count` unit vectors."""
    out = torch.empty(rows, count, dtype=like.dtype, device=like.device)
    for start in range(0, count, COLUMNS):
        width = min(COLUMNS, count - start)
        units = torch.zeros(count, width, dtype=like.dtype, device=like.device)
        units[range(start, start + width), range(width)] = 1.0
        out[:, start : start + width] = product(units)
    return out
