"""One pass over samples that come in batches: how many there are, of which form, and the arrays that they make."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from scalecurv.data.checks import check_finite, check_form
from scalecurv.data.stored import Rows, array_of, by_name, rows_within
from scalecurv.errors import Misuse
from scalecurv.samples.nested import mapped
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream

OVERHEAD = 400  # bytes that a held array takes beside its numbers: many small batches of them count
LONG = 30.0  # seconds of reading until it is said that it goes on
_logger = logging.getLogger(__name__)


def arrays_of(pair: Pair) -> tuple[Any, Any]:
    """Return x and y of a pair as NumPy arrays, or Nesteds of some; memory is shared where it can be."""
    return mapped(_array, pair.x), mapped(_array, pair.y)


def _array(held: Any) -> np.ndarray:
    return array_of(held) if isinstance(held, Tensor) else np.asarray(held)


@dataclass(frozen=True)
class Survey:
    """The number of samples of a stream; shape and dtype of each array by name, and x and y with the names in them.

    `held` has the arrays of each batch in order, None where they take more memory than was allowed.
    """

    count: int
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype]
    names: tuple[Any, Any]
    held: deque[dict[str, np.ndarray]] | None

    @classmethod
    def of(cls, source: object, stream: Stream, memory: int) -> "Survey":
        """Return what one pass finds; raise Misuse where the samples are no data, or hold NaN or infinities."""
        held: deque[dict[str, np.ndarray]] | None = deque()
        count = size = 0
        rows: dict[str, tuple[int, ...]] = {}
        dtypes: dict[str, np.dtype] = {}
        names: tuple[Any, Any] = ("x", "y")
        look = time.monotonic() + LONG
        for pair in stream.read(exact=True):
            x, y = arrays_of(pair)
            check_form(source, x, y)
            check_finite(source, x, y)
            arrays = by_name(x, y)
            if not count:
                listed = iter(arrays)
                names = mapped(lambda _: next(listed), x), mapped(lambda _: next(listed), y)  # noqa: B023
                rows = {name: array.shape[1:] for name, array in arrays.items()}
            dtypes = {name: np.result_type(array, dtypes.get(name, array)) for name, array in arrays.items()}
            count += len(pair)
            size += sum(array.nbytes + OVERHEAD for array in arrays.values())
            held = None if held is None or size > memory else held
            if held is None and not stream.again and memory:
                raise Misuse(
                    f"the {stream.name} can be read only once and takes more than --memory, {memory} bytes, in its "
                    f"first {count} samples; return a DataLoader or a Dataset, which can be read again, or less of it, "
                    f"as by itertools.islice"
                )
            if time.monotonic() > look:
                _logger.warning(
                    "--data %s: %s samples read so far; Ctrl-C where they have no end", source, f"{count:,}"
                )
                look = time.monotonic() + LONG
            if held is not None:
                held.append({name: array.copy() for name, array in arrays.items()})  # a loader may use them again
        return cls(count, {name: (count, *shape) for name, shape in rows.items()}, dtypes, names, held)

    @property
    def width(self) -> tuple[int, ...] | None:
        """The shape of one sample's inputs; None where they are several arrays."""
        return self.shapes["x"][1:] if "x" in self.shapes else None

    def joined(self, rows: Rows, batches: Iterable[dict[str, np.ndarray]]) -> tuple[Any, Any]:
        """Return x and y of the rows of these numbers, None for all, from the arrays of each batch in order.

        Batches that nothing else holds are dropped one by one.
        """
        count = self.count if rows is None else len(rows)
        whole = {name: np.empty((count, *shape[1:]), self.dtypes[name]) for name, shape in self.shapes.items()}
        start = filled = 0
        for arrays in batches:
            length = len(next(iter(arrays.values())))
            own = rows_within(rows, start, length)
            taken = length if own is None else len(own)
            for name, array in arrays.items():
                whole[name][filled : filled + taken] = array if own is None else array[own]
            start, filled = start + length, filled + taken
        x, y = (mapped(whole.__getitem__, part) for part in self.names)
        return x, y


def dropped(batches: deque[Any]) -> Iterator[Any]:
    """Yield from the left of a deque, which becomes empty."""
    while batches:
        yield batches.popleft()
