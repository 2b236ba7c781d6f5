"""Conversion of matrices and of operators of other libraries, which have a shape and take @, to LinearOperator."""

from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from scalecurv.display import kind_of
from scalecurv.linalg.operator import LinearOperator, from_array


class DenseOperator(LinearOperator):
    """The operator of an explicit matrix A (m, n); without `symmetric`, A is compared with its transpose."""

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
    """The interface that the operators of SciPy, curvlinops and skerch have in common."""

    shape: Any

    def __matmul__(self, other: Any, /) -> Any: ...


# algorithms take operators of this library, explicit matrices, and operators of other libraries
Operand = LinearOperator | Tensor | np.ndarray | Multiplies


class ForeignOperator(LinearOperator):
    """The operator V -> A @ V for an operator `A` of another library.

    A is given arrays where its dtype is one of NumPy, else tensors. `dtype` and `device` describe the blocks that this
    operator takes and returns; they default to A's own. Columns go to A one by one where it takes vectors only. The
    adjoint is the first that A has of rmatmat, adjoint, H, T and U' @ A. Raises TypeError where A is not real, has no
    two axes, or has no dtype and none is given.
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
        self._columns = False  # True once A has refused a block and taken vectors
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
        return self._A.name if isinstance(self._A, LinearOperator) else type(self._A).__name__

    def _matmat(self, V: Tensor) -> Tensor:
        return self._product(self._A.__matmul__, V, self.shape[0])

    def _rmatmat(self, U: Tensor) -> Tensor:
        A: Any = self._A
        if hasattr(A, "rmatmat"):  # it takes blocks, even where @ takes vectors only
            try:
                product = A.rmatmat(self._given(U))
            except (NotImplementedError, TypeError) as error:  # SciPy raises either where no adjoint is defined
                raise self._no_adjoint() from error
            return self._checked(product, self.shape[1], U.shape[1])
        for name in ("adjoint", "H", "T"):
            adjoint = getattr(A, name, None)
            adjoint = adjoint() if callable(adjoint) and not hasattr(adjoint, "shape") else adjoint
            if adjoint is not None:
                return self._product(adjoint.__matmul__, U, self.shape[1])
        if not hasattr(A, "__rmatmul__"):
            raise self._no_adjoint()
        return self._product(lambda X: A.__rmatmul__(X.T).T, U, self.shape[1])

    def _no_adjoint(self) -> TypeError:
        return TypeError(
            f"{self.name} has no adjoint product: give it rmatmat, adjoint, H or T, or pass symmetric=True where it is "
            "symmetric"
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
    """Return `A` as a LinearOperator; an operator of this library that already fits is returned as it is.

    `symmetric` declares the symmetry. Without it the declaration of the object counts, and an explicit matrix is
    compared with its transpose. `dtype` and `device` default to A's own. Raises TypeError where A has no shape, takes
    no @ or is not real, and ValueError for symmetric=True where A is not square.

    Example:
        >>> import numpy as np
        >>> A = aslinearoperator(np.array([[2.0, 1.0], [1.0, 3.0]]))
        >>> A.symmetric, A @ np.ones(2)
        (True, array([3., 4.]))
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
        raise TypeError(f"{kind_of(A)} is no operator; give something with shape, dtype and @")
    if isinstance(A, np.ndarray):
        real = _real(type(A).__name__, A.dtype, dtype)
        return DenseOperator(from_array(A).to(device, real), symmetric)
    if isinstance(A, Tensor) and A.layout is torch.strided:
        return DenseOperator(A.detach().to(device, _real(type(A).__name__, A.dtype, dtype)), symmetric)
    return ForeignOperator(A, symmetric, dtype, device)


def _real(name: str, own: Any, declared: _DType | None) -> torch.dtype:
    """Return the real floating-point dtype to multiply in: `declared`, or else `own`, the dtype of the entries."""
    kind, wanted = _torch_dtype(own), _torch_dtype(own if declared is None else declared)
    if kind.is_complex or wanted.is_complex:
        raise TypeError(f"{name} holds {own if kind.is_complex else declared}; only real operators are multiplied by")
    if wanted not in _REAL:
        raise TypeError(f"{name} holds {own}; give dtype=torch.float64, or the dtype to multiply in")
    return wanted


def _torch_dtype(dtype: Any) -> torch.dtype:
    """Return the torch dtype that corresponds to a NumPy dtype."""
    if isinstance(dtype, torch.dtype):
        return dtype
    try:
        return torch.from_numpy(np.empty(0, dtype=np.dtype(dtype).newbyteorder("="))).dtype
    except TypeError as error:
        raise TypeError(f"{dtype} is a dtype that torch does not know") from error
