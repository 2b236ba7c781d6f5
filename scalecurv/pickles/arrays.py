"""NumPy's arrays, numbers and dtypes, made from what a pickle gives for them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scalecurv.pickles.machine import Maker
from scalecurv.pickles.placeholder import Budget, Global, Placeholder, Unreadable

PLAIN = "biufcSU"  # kinds of dtype whose items are bytes, and no references
_CODES = frozenset("?bBhHiIlLqQefdgFDG")  # one letter each
_ORDERS = "<>|="


class NumberType:
    """A dtype of NumPy that a pickle describes: a code such as f8, and the byte order, which its state gives.

    `numbers` is True for numbers and text of fixed length, False for objects, records, dates and unknown codes.
    """

    __slots__ = ("code", "numbers", "order")

    def __init__(self, code: str):
        kind = code.lstrip(_ORDERS)
        sized = 1 < len(kind) < 10 and kind[0] in PLAIN and kind[1:].isdecimal() and int(kind[1:]) > 0
        self.code, self.order, self.numbers = kind, code[: len(code) - len(kind)][:1], sized or kind in _CODES

    def dtype(self) -> np.dtype[Any]:
        """Return NumPy's own dtype, in the byte order of the pickle."""
        return np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<" if self.order == "<" else "=")

    def set_state(self, state: Any) -> None:
        """Take the byte order from a state (version, order, subdtype, names, fields, ...)."""
        if type(state) is tuple and len(state) >= 5 and type(state[1]) is str:
            self.order, self.numbers = state[1], self.numbers and all(part is None for part in state[2:5])
        else:
            self.numbers = False


def array_builders(budget: Budget) -> dict[type, Callable[[Any, Any], None]]:
    """Return the functions that set the state of arrays and dtypes, by type."""
    return {np.ndarray: lambda made, state: _fill(budget, made, state), NumberType: NumberType.set_state}


def array_makers(budget: Budget) -> dict[str, Maker]:
    """Return the makers by the names that pickles use; each charges what it copies to `budget`."""
    return {
        "numpy.dtype": _number_type,
        "numpy.core.multiarray._reconstruct": _empty,
        "numpy.core.multiarray.scalar": lambda arguments: _scalar(budget, arguments),
        "numpy.core.numeric._frombuffer": lambda arguments: _from_buffer(budget, arguments),
    }


def _number_type(arguments: tuple[Any, ...]) -> Any:
    return NumberType(arguments[0]) if arguments and type(arguments[0]) is str else NotImplemented


def _empty(arguments: tuple[Any, ...]) -> Any:
    kind = arguments[0] if arguments else None
    known = type(kind) is Global and kind.name in ("numpy.ndarray", "numpy.memmap", "numpy.core.memmap.memmap")
    return np.empty(0, np.uint8) if known else NotImplemented


def _scalar(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return the Python number, text or bytes of NumPy's scalar."""
    match arguments:
        case (NumberType() as kind, bytes() | str() as content) if kind.numbers:
            return _items(budget, content, kind, ())[0].item()
        case (NumberType(), _):
            return Placeholder("numpy.generic", arguments)
    return NotImplemented


def _from_buffer(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return an array as protocol 5 writes it: (bytes, dtype, shape, order)."""
    match arguments:
        case (bytes() | bytearray() as content, NumberType() as kind, tuple() as shape, "C" | "F" as order) if (
            kind.numbers
        ):
            return _items(budget, content, kind, shape).reshape(shape, order=order)
    return NotImplemented


def _fill(budget: Budget, made: np.ndarray, state: Any) -> None:
    """Set shape, dtype and items of an array from (version, shape, dtype, is in Fortran order, bytes).

    The array itself is changed, because other parts of the pickle may refer to it already. An array of objects, records
    or dates becomes an array of one placeholder.
    """
    match state:
        case (int(), tuple() as shape, NumberType() as kind, bool() | int() as fortran, bytes() | str() as content) if (
            kind.numbers
        ):
            items = _items(budget, content, kind, shape)
            _set_state(made, shape, items.dtype, bool(fortran), items.tobytes())
        case (int(), tuple(), NumberType() as kind, *_):
            _set_state(made, (1,), np.dtype("O"), False, [Placeholder(f"numpy.ndarray of {kind.code[:20]}")])
        case _:
            raise Unreadable("sets a state that no array has; it is damaged")


def _set_state(made: Any, *state: Any) -> None:
    made.__setstate__((1, *state))  # NumPy's own, whose arguments are checked by now


def _items(budget: Budget, content: bytes | bytearray | str, kind: NumberType, shape: tuple[Any, ...]) -> np.ndarray:
    """Return the items as a flat array, in this machine's byte order.

    Raises Unreadable where the number of bytes does not fit the shape.
    """
    dtype = kind.dtype()
    if not all(type(size) is int and 0 <= size < 1 << 62 for size in shape) or len(shape) > 32:
        raise Unreadable("holds an array without a shape; it is damaged")
    stored = content.encode("latin-1") if isinstance(content, str) else content  # as Python 2 wrote bytes
    if dtype.hasobject or len(stored) != math.prod(shape) * dtype.itemsize:
        raise Unreadable(f"holds an array of {len(stored)} bytes, which do not fit its shape {shape}; it is damaged")
    budget.spend(2 * len(stored))
    return np.frombuffer(stored, dtype).astype(dtype.newbyteorder("="))
