"""Operators of other libraries at the door: whatever has a shape and takes @ becomes a LinearOperator."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.dense import DenseOperator
from scalecurv.linalg.operator import LinearOperator

_REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Multiplies(Protocol):
    """What SciPy's, curvlinops' and skerch's operators have in common."""

    shape: Any

    def __matmul__(self, other: Any, /) -> Any: ...


# what algorithms take: operators of this library, matrices that are there, operators of others
Operand = LinearOperator | Tensor | np.ndarray | Multiplies


class ForeignOperator(LinearOperator):
    """V -> A @ V for an `A` of another library, in its own kind of arrays: tensors, or NumPy's where its dtype is.

    Columns go one by one where A takes vectors alone. The adjoint is taken from whatever it goes by: rmatmat, adjoint,
    H, T, or U' @ A. Raises TypeError for what is no real operator, or does not tell its dtype.
    """

    def __init__(self, A: Multiplies, symmetric: bool | None = None, dtype: torch.dtype | None = None):
        own = getattr(A, "dtype", None)
        if own is None and dtype is None:
            raise TypeError(f"{type(A).__name__} has no dtype; give dtype=torch.float64, or what it multiplies by")
        shape = tuple(int(n) for n in A.shape)
        if len(shape) != 2:
            raise TypeError(f"{type(A).__name__} has shape {shape}; an operator has two axes")
        self._A = A
        self._numpy = own is not None and not isinstance(own, torch.dtype)
        self._columns = False  # known to take vectors alone
        self.shape = (shape[0], shape[1])
        told: Any = dtype or (_torch_dtype(own) if self._numpy else own)
        self.dtype = told
        if self.dtype not in _REAL:
            raise TypeError(f"{type(A).__name__} holds {own}; only real floating-point operators are multiplied by")
        self.device = torch.device("cpu" if self._numpy else getattr(A, "device", None) or "cpu")
        declared = getattr(A, "SELF_ADJOINT", getattr(A, "symmetric", False))
        self.symmetric = bool(declared is True) if symmetric is None else symmetric

    @property
    def name(self) -> str:
        return type(self._A).__name__

    def _matmat(self, V: Tensor) -> Tensor:
        return self._product(self._A.__matmul__, V, self.shape[0])

    def _rmatmat(self, U: Tensor) -> Tensor:
        A: Any = self._A
        if self._numpy and hasattr(A, "rmatmat"):
            return self._product(A.rmatmat, U, self.shape[1])
        for name in ("adjoint", "H", "T"):
            turned = getattr(A, name, None)
            turned = turned() if callable(turned) and not hasattr(turned, "shape") else turned
            if turned is not None:
                return self._product(turned.__matmul__, U, self.shape[1])
        if not hasattr(A, "__rmatmul__"):
            return super()._rmatmat(U)
        return self._product(lambda X: A.__rmatmul__(X.T).T, U, self.shape[1])

    def _product(self, multiply: Any, V: Tensor, rows: int) -> Tensor:
        given: Any = V.cpu().numpy() if self._numpy else V
        if not self._columns:
            try:
                return self._checked(multiply(given), rows, V.shape[1])
            except (TypeError, ValueError, RuntimeError, NotImplementedError):
                if V.shape[1] == 0:
                    raise
        whole = [self._checked(multiply(given[:, i])[:, None], rows, 1) for i in range(V.shape[1])]
        self._columns = True
        return torch.cat(whole, dim=1)

    def _checked(self, product: Any, rows: int, columns: int) -> Tensor:
        if product is NotImplemented or tuple(product.shape) != (rows, columns):
            raise TypeError(f"{type(self._A).__name__} did not return a block of shape ({rows}, {columns})")
        found = torch.from_numpy(np.ascontiguousarray(product)) if self._numpy else torch.as_tensor(product)
        return found.to(self.device, self.dtype)


def aslinearoperator(
    A: Operand,
    symmetric: bool | None = None,
    dtype: torch.dtype | None = None,
) -> LinearOperator:
    """Let an operator through, wrap a tensor, an array or another library's operator: past this door there is one type.

    Whether it is symmetric is said by `symmetric`, else by the object itself; of a matrix that is there it is seen.
    Raises TypeError for what has no shape or takes no @.
    """
    if isinstance(A, LinearOperator):
        return A
    if isinstance(A, Tensor | np.ndarray):
        return DenseOperator(torch.as_tensor(A), symmetric)
    if not hasattr(A, "shape") or not hasattr(A, "__matmul__"):
        raise TypeError(f"a {type(A).__name__} is no operator; give something with shape, dtype and @")
    return ForeignOperator(A, symmetric, dtype)


def _torch_dtype(dtype: Any) -> torch.dtype:
    """The torch dtype of NumPy's, itself where torch has none."""
    try:
        return torch.from_numpy(np.empty(0, dtype=np.dtype(dtype))).dtype
    except TypeError as error:
        raise TypeError(f"{dtype} is a dtype that torch does not know") from error
