"""Samples that stay in their file: rows of a memory map, which are read and cast one mini-batch at a time."""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import leaves_of, mapped
from scalecurv.samples.pairs import Pair

LARGE = 1 << 28  # bytes; smaller samples are copied, so that a file that is written again changes no number
BLOCK = 1 << 22  # bytes of a piece where all rows are looked at


@dataclass(frozen=True)
class Mapped:
    """Samples in the arrays of `pair`, which lie on memory maps, as `Rows` of which no pass holds more than a batch.

    `prepare` turns rows, as tensors, into inputs and targets on the problem's device, in its dtype. The mini-batches
    are those of samples in memory. `memory` is the number of bytes that `whole` may take.
    """

    pair: Pair
    prepare: Callable[[Pair], Pair]
    start: int
    memory: int

    def __len__(self) -> int:
        return len(self.pair)

    @property
    def num_bytes(self) -> int:
        """The bytes of all rows as they lie in the file."""
        return bytes_of(self.pair)

    def pieces(self, size: int) -> Iterator[Batch]:
        """Yield mini-batches of `size` samples, the last one shorter."""
        for pair, at in cut(self.pair, size):
            yield self._batch(pair, self.start + at)

    def take(self, rows: Tensor) -> Batch:
        """Return the samples of these numbers, in this order."""
        numbers, places = np.unique(rows.cpu().numpy(), return_inverse=True)  # each row is read once, in file order
        some = self._batch(self.pair[numbers], 0)
        return Batch(some.x[places], some.y[places], 0)

    def whole(self) -> Batch:
        """Return all samples, read now; raise Misuse where they take more than the memory."""
        if self.num_bytes > self.memory:
            raise Misuse(
                f"this needs all {len(self)} samples at once, and they stay in their file, as their {self.num_bytes:,} "
                f"bytes are more than the memory; give memory={self.num_bytes} or more"
            )
        return self._batch(self.pair, self.start)

    def mapped(self, x: Callable[[Tensor], Tensor], y: Callable[[Tensor], Tensor]) -> "Mapped":
        """Return the same samples with functions of the arrays of inputs and of targets in their places."""
        before = self.prepare

        def prepare(pair: Pair) -> Pair:
            ready = before(pair)
            return Pair(mapped(x, ready.x), mapped(y, ready.y))

        return replace(self, prepare=prepare)

    def _batch(self, pair: Pair, start: int) -> Batch:
        ready = self.prepare(pair.tensors())
        return Batch(ready.x, ready.y, start)


def stays_mapped(pair: Pair) -> bool:
    """Return True where the samples lie on memory maps and are too large to be copied."""
    return any(map(_is_mapped, _arrays(pair))) and bytes_of(pair) > LARGE


def bytes_of(pair: Pair) -> int:
    """Return the bytes of the arrays of a pair as they lie in memory or in a file."""
    return sum(array.dtype.itemsize * int(np.prod(array.shape)) for array in _arrays(pair))


def cut(pair: Pair, size: int | None = None) -> Iterator[tuple[Pair, int]]:
    """Yield runs of at most `size` samples with the number of the first; without a size, runs of 4 MiB."""
    size = size or max(1, BLOCK * len(pair) // max(bytes_of(pair), 1))
    for at in range(0, len(pair), size):
        yield pair[at : at + size], at


def _arrays(pair: Pair) -> list[Any]:
    """Return the arrays of a pair; those that are seen through another object, as `_Quantities`, themselves."""
    leaves = [*leaves_of(pair.x), *leaves_of(pair.y)]
    return [getattr(leaf, "array", leaf) for leaf in leaves]


def _is_mapped(array: Any) -> bool:
    """Return True for a view of a memory map, at any depth."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap.mmap)
