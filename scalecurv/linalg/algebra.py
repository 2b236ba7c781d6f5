"""Sums, multiples, products and transposes of linear operators, which are linear operators themselves.

The dtype of a result is the wider one of its parts: float32 + float64 is float64, and each part multiplies in its own
dtype. A number does not change the dtype. All parts are on one device; matrices and operators of other libraries are
taken to it. `cost` counts the products of all parts.

These results are declared symmetric: sums and multiples of symmetric operators, A + A.T, A.T @ A, A @ A.T, and for
symmetric A also A @ A and B.T @ A @ B. Both sides must be one object: two operators that were built alike are not
compared. Declare other products by `aslinearoperator(A @ B, symmetric=True)`.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.display import kind_of
from scalecurv.linalg.foreign import aslinearoperator
from scalecurv.linalg.operator import LinearOperator, operation


class SumOperator(LinearOperator):
    """The sum of operators of one shape, each multiplied on its own."""

    def __init__(self, terms: Sequence[LinearOperator]):
        self.terms: tuple[LinearOperator, ...] = sum((_terms(A) for A in terms), ())
        self.shape = self.terms[0].shape
        self.dtype, self.device, self.cost = _joint(self.terms)
        self.symmetric = _pair_up(self.terms)

    @property
    def name(self) -> str:
        signed = "".join(_signed(term, " + ", " - ") for term in self.terms)
        return f"({signed.removeprefix(' + ').replace(' - ', '-', int(signed.startswith(' - ')))})"

    def _matmat(self, V: Tensor) -> Tensor:
        return self._added(V, lambda term: term.matmat(V), self.shape[0])

    def _rmatmat(self, U: Tensor) -> Tensor:
        return self._added(U, lambda term: term.rmatmat(U), self.shape[1])

    def _added(self, V: Tensor, product: Callable[[LinearOperator], Tensor], rows: int) -> Tensor:
        total = V.new_zeros(rows, V.shape[1])
        for term in self.terms:
            total += product(term)
        return total


class ScaledOperator(LinearOperator):
    """c A for a number c."""

    def __init__(self, factor: float, A: LinearOperator):
        self.factor, self.A = factor, A
        self.shape, self.dtype, self.device = A.shape, A.dtype, A.device
        self.symmetric, self.cost = A.symmetric, A.cost

    @property
    def name(self) -> str:
        return f"({_signed(self, '', '-')})"

    def _matmat(self, V: Tensor) -> Tensor:
        return self.factor * self.A.matmat(V)

    def _rmatmat(self, U: Tensor) -> Tensor:
        return self.factor * self.A.rmatmat(U)


class ProductOperator(LinearOperator):
    """The product of operators, from right to left: each multiplies what the one to its right has returned."""

    def __init__(self, factors: Sequence[LinearOperator]):
        self.factors: tuple[LinearOperator, ...] = sum((_factors(A) for A in factors), ())
        self.shape = (self.factors[0].shape[0], self.factors[-1].shape[1])
        self.dtype, self.device, self.cost = _joint(self.factors)
        self.symmetric = all(map(_adjoints, self.factors, reversed(self.factors)))

    @property
    def name(self) -> str:
        return f"({' @ '.join(factor.name for factor in self.factors)})"

    def _matmat(self, V: Tensor) -> Tensor:
        return reduce(lambda block, factor: factor.matmat(block), reversed(self.factors), V).to(self.dtype)

    def _rmatmat(self, U: Tensor) -> Tensor:
        return reduce(lambda block, factor: factor.rmatmat(block), self.factors, U).to(self.dtype)


class TransposedOperator(LinearOperator):
    """A', whose products are the adjoint products of A."""

    def __init__(self, A: LinearOperator):
        self.A = A
        self.shape, self.dtype, self.device, self.cost = (A.shape[1], A.shape[0]), A.dtype, A.device, A.cost

    @property
    def name(self) -> str:
        return f"{self.A.name}.T"

    def _matmat(self, V: Tensor) -> Tensor:
        return self.A.rmatmat(V)

    def _rmatmat(self, U: Tensor) -> Tensor:
        return self.A.matmat(U)


@operation("+")
def added(A: Any, B: Any) -> LinearOperator:
    """Return A + B; raises ValueError where the shapes or the devices differ, TypeError where one is no matrix."""
    A, B = _operands(A, B, "+")
    if A.shape != B.shape:
        raise _misfit(A, "+", B, f"the shapes differ; give two operators of shape {A.shape[0]} x {A.shape[1]}")
    return SumOperator([A, B])


@operation("-")
def subtracted(A: Any, B: Any) -> LinearOperator:
    """Return A - B; raises as `added` does."""
    A, B = _operands(A, B, "-")
    if A.shape != B.shape:
        raise _misfit(A, "-", B, f"the shapes differ; give two operators of shape {A.shape[0]} x {A.shape[1]}")
    return SumOperator([A, scaled(B, -1.0)])


@operation("*")
def scaled(A: LinearOperator, factor: Any) -> LinearOperator:
    """Return c A for a number c, which may be a NumPy scalar or a 0-d array or tensor; raises TypeError for others."""
    c = _number(A, "*", factor)
    return ScaledOperator(c * A.factor, A.A) if isinstance(A, ScaledOperator) else ScaledOperator(c, A)


@operation("/")
def divided(A: LinearOperator, divisor: Any) -> LinearOperator:
    """Return (1 / c) A; raises ZeroDivisionError for c = 0, and TypeError where c is no number."""
    return scaled(A, 1 / _number(A, "/", divisor))


@operation("@")
def composed(A: Any, B: Any) -> LinearOperator:
    """Return A B, which takes a product of each; raises ValueError where they do not fit, or the devices differ.

    Example:
        >>> import numpy as np
        >>> J = aslinearoperator(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        >>> gram = J.T @ J / 3
        >>> gram.symmetric, gram.cost, (gram @ np.ones(2)).round(2).tolist()
        (True, 2, [26.33, 33.33])
    """
    A, B = _operands(A, B, "@")
    if A.shape[1] != B.shape[0]:
        raise _misfit(A, "@", B, f"the right side has {B.shape[0]} rows; give an operator of {A.shape[1]} rows")
    factors = [part.A if isinstance(part, ScaledOperator) else part for part in (A, B)]
    scale = math.prod(part.factor for part in (A, B) if isinstance(part, ScaledOperator))
    product = ProductOperator(factors)
    return product if scale == 1 else ScaledOperator(scale, product)


@operation("T")
def transposed(A: LinearOperator) -> LinearOperator:
    """Return A', taken inside of sums, multiples and products; the transpose of a transpose is the operator itself."""
    if isinstance(A, TransposedOperator):
        return A.A
    if isinstance(A, ScaledOperator):
        return ScaledOperator(A.factor, A.A.T)
    if isinstance(A, SumOperator):
        return SumOperator([term.T for term in A.terms])
    if isinstance(A, ProductOperator):
        return ProductOperator([factor.T for factor in reversed(A.factors)])
    return TransposedOperator(A)


def _operands(A: Any, B: Any, symbol: str) -> tuple[LinearOperator, LinearOperator]:
    """Return both sides as operators on one device; one side is an operator of this library already."""
    ours = A if isinstance(A, LinearOperator) else B
    for other in (A, B):
        if isinstance(other, Real) or (isinstance(other, np.ndarray | Tensor) and other.ndim == 0):
            raise TypeError(
                f"{ours.name} {symbol} a number: a number is no operator; "
                f"for c times the identity give c * scipy.sparse.eye_array({ours.shape[0]})"
            )
    A, B = (part if isinstance(part, LinearOperator) else aslinearoperator(part, device=ours.device) for part in (A, B))
    if A.device != B.device:
        raise _misfit(A, symbol, B, f"they are on {A.device} and {B.device}; build both on one device")
    return A, B


def _number(A: LinearOperator, symbol: str, given: Any) -> float:
    scalar = isinstance(given, np.ndarray | Tensor) and given.ndim == 0
    number = given.item() if scalar else given
    if not isinstance(number, Real):
        advice = "use @ for products with vectors, matrices and operators" if symbol == "*" else "give a number"
        raise TypeError(f"{A.name} {symbol} {kind_of(given)}: an operator is scaled by a real number; {advice}")
    return float(number)


def _misfit(A: LinearOperator, symbol: str, B: LinearOperator, reason: str) -> ValueError:
    (m, n), (p, q) = A.shape, B.shape
    return ValueError(f"{A.name} {m} x {n} {symbol} {B.name} {p} x {q}: {reason}")


def _terms(A: LinearOperator) -> tuple[LinearOperator, ...]:
    return A.terms if isinstance(A, SumOperator) else (A,)


def _factors(A: LinearOperator) -> tuple[LinearOperator, ...]:
    return A.factors if isinstance(A, ProductOperator) else (A,)


def _joint(parts: Sequence[LinearOperator]) -> tuple[torch.dtype, torch.device, int]:
    """Return the widest dtype of the parts, their device, and the sum of their costs."""
    return reduce(torch.promote_types, (p.dtype for p in parts)), parts[0].device, sum(p.cost for p in parts)


def _signed(A: LinearOperator, plus: str, minus: str) -> str:
    """Return the name of a term with its sign in front."""
    if not isinstance(A, ScaledOperator):
        return plus + A.name
    size = abs(A.factor)
    return (plus if A.factor >= 0 else minus) + (A.A.name if size == 1 else f"{size:g} * {A.A.name}")


def _adjoints(A: LinearOperator, B: LinearOperator) -> bool:
    """Return True where B is known to be A'; it is not, where the two were built apart."""
    if isinstance(A, ScaledOperator) and isinstance(B, ScaledOperator):
        return A.factor == B.factor and _adjoints(A.A, B.A)
    return A.T is B or B.T is A


def _pair_up(terms: Sequence[LinearOperator]) -> bool:
    """Return True where each term that is not symmetric has its transpose among the terms."""
    left = [term for term in terms if not term.symmetric]
    while left:
        first = left.pop()
        partner = next((i for i, other in enumerate(left) if _adjoints(first, other)), None)
        if partner is None:
            return False
        left.pop(partner)
    return True
