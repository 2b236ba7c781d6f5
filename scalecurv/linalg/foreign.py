"""Operators of other libraries at the door: whatever has a shape and takes @ becomes a LinearOperator."""

from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import DTypeLike
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


_DType: TypeAlias = torch.dtype | DTypeLike
_REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Multiplies(Protocol):
    """What SciPy's, curvlinops' and skerch's operators have in common."""

    shape: Any

    def __matmul__(self, other: Any, /) -> Any: ...


# what algorithms take: operators of this library, matrices that are there, operators of others
Operand = LinearOperator | Tensor | np.ndarray | Multiplies


class ForeignOperator(LinearOperator):
    """V -> A @ V for an `A` of another library, in its own kind of arrays: tensors, or NumPy's where its dtype is.

    `dtype` and `device` are those of what is taken and returned here, A's own where nothing is said. Columns go one by
    one where A takes vectors alone. The adjoint is taken from whatever it goes by: rmatmat, adjoint, H, T, or U' @ A.
    Raises TypeError for what is no real operator, or does not tell its dtype.
    """

    def __init__(
        self,
        A: Multiplies,
        symmetric: bool | None = None,
        dtype: _DType | None = None,
        device: torch.device | str | None = None,
    ):
        own = getattr(A, "dtype", None)
        kind = dtype if own is None else own
        if kind is None:
            raise TypeError(
                f"{type(A).__name__} has no dtype; give dtype=torch.float64 where it multiplies tensors, "
                "dtype=np.float64 where it multiplies arrays"
            )
        shape = tuple(int(n) for n in A.shape)
        if len(shape) != 2:
            raise TypeError(f"{type(A).__name__} has shape {shape}; an operator has two axes")
        self._A = A
        self._numpy = not isinstance(kind, torch.dtype)
        self._columns = False  # known to take vectors alone
        self.shape = (shape[0], shape[1])
        self.dtype = _real(type(A).__name__, kind, dtype)
        self._taken = kind if isinstance(kind, torch.dtype) and kind in _REAL else self.dtype
        self._at = torch.device("cpu" if self._numpy else getattr(A, "device", None) or device or "cpu")
        self.device = torch.device(device or self._at)
        declared = getattr(A, "SELF_ADJOINT", getattr(A, "symmetric", False))
        self.symmetric = bool(declared is True) if symmetric is None else symmetric
        if isinstance(A, LinearOperator):
            self.cost = A.cost

    @property
    def name(self) -> str:
        return type(self._A).__name__

    def _matmat(self, V: Tensor) -> Tensor:
        return self._product(self._A.__matmul__, V, self.shape[0])

    def _rmatmat(self, U: Tensor) -> Tensor:
        A: Any = self._A
        if hasattr(A, "rmatmat"):  # takes blocks, whatever @ does
            try:
                product = A.rmatmat(self._given(U))
            except (NotImplementedError, TypeError) as error:  # both are SciPy's way to say that none was written
                raise self._unturned() from error
            return self._checked(product, self.shape[1], U.shape[1])
        for name in ("adjoint", "H", "T"):
            turned = getattr(A, name, None)
            turned = turned() if callable(turned) and not hasattr(turned, "shape") else turned
            if turned is not None:
                return self._product(turned.__matmul__, U, self.shape[1])
        if not hasattr(A, "__rmatmul__"):
            raise self._unturned()
        return self._product(lambda X: A.__rmatmul__(X.T).T, U, self.shape[1])

    def _unturned(self) -> TypeError:
        return TypeError(
            f"{self.name} has no adjoint product: give it rmatmat, adjoint, H or T, or say symmetric=True where it is"
        )

    def _product(self, multiply: Any, V: Tensor, rows: int) -> Tensor:
        given = self._given(V)
        if not self._columns:
            try:
                return self._checked(multiply(given), rows, V.shape[1])
            except torch.OutOfMemoryError:
                raise
            except (TypeError, ValueError, RuntimeError, NotImplementedError):
                if V.shape[1] == 0:
                    raise
        whole = [self._checked(multiply(given[:, i])[:, None], rows, 1) for i in range(V.shape[1])]
        self._columns = True
        return torch.cat(whole, dim=1)

    def _given(self, V: Tensor) -> Any:
        return V.cpu().numpy() if self._numpy else V.to(self._at, self._taken)

    def _checked(self, product: Any, rows: int, columns: int) -> Tensor:
        if product is NotImplemented or tuple(product.shape) != (rows, columns):
            raise TypeError(f"{self.name} did not return a block of shape ({rows}, {columns})")
        found = torch.from_numpy(np.ascontiguousarray(product)) if self._numpy else torch.as_tensor(product)
        return found.detach().to(self.device, self.dtype)


def aslinearoperator(
    A: Operand,
    symmetric: bool | None = None,
    dtype: _DType | None = None,
    device: torch.device | str | None = None,
) -> LinearOperator:
    """Let an operator through, wrap a tensor, an array or another library's operator: past this door there is one type.

    Whether it is symmetric is said by `symmetric`, else by the object itself; of a matrix that is there it is seen.
    Raises TypeError for what has no shape, takes no @ or is not real, ValueError for symmetric=True of a rectangle.
    """
    operator = _wrapped(A, symmetric, dtype, device)
    if symmetric and operator.shape[0] != operator.shape[1]:
        m, n = operator.shape
        raise ValueError(f"{type(A).__name__} is {m} x {n}: symmetric=True is for a square operator")
    return operator


def _wrapped(A: Any, symmetric: bool | None, dtype: _DType | None, device: torch.device | str | None) -> LinearOperator:
    if isinstance(A, LinearOperator):
        wanted = (symmetric, dtype and _real(A.name, A.dtype, dtype), device and torch.device(device))
        has = (A.symmetric, A.dtype, A.device)
        return A if all(w in (None, h) for w, h in zip(wanted, has, strict=True)) else ForeignOperator(A, *wanted)
    if not hasattr(A, "shape") or not hasattr(A, "__matmul__"):
        raise TypeError(f"a {type(A).__name__} is no operator; give something with shape, dtype and @")
    if isinstance(A, np.ndarray):
        real = _real(type(A).__name__, A.dtype, dtype)
        native = np.require(A, A.dtype.newbyteorder("="), ("C", "W"))  # torch knows no other, nor one not to write to
        return DenseOperator(torch.from_numpy(native).to(device, real), symmetric)
    if isinstance(A, Tensor) and A.layout is torch.strided:
        return DenseOperator(A.detach().to(device, _real(type(A).__name__, A.dtype, dtype)), symmetric)
    return ForeignOperator(A, symmetric, dtype, device)


def _real(name: str, own: Any, told: _DType | None) -> torch.dtype:
    """What to multiply in by something that holds `own` and was declared `told`: a real floating-point dtype."""
    kind, wanted = _torch_dtype(own), _torch_dtype(own if told is None else told)
    if kind.is_complex or wanted.is_complex:
        raise TypeError(f"{name} holds {own if kind.is_complex else told}; only real operators are multiplied by")
    if wanted not in _REAL:
        raise TypeError(f"{name} holds {own}; give dtype=torch.float64, or the dtype to multiply in")
    return wanted


def _torch_dtype(dtype: Any) -> torch.dtype:
    """The torch dtype of NumPy's."""
    if isinstance(dtype, torch.dtype):
        return dtype
    try:
        return torch.from_numpy(np.empty(0, dtype=np.dtype(dtype).newbyteorder("="))).dtype
    except TypeError as error:
        raise TypeError(f"{dtype} is a dtype that torch does not know") from error
