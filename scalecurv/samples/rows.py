"""The samples of a rank, by mini-batches or by number: the protocol Rows, and Held for samples in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import Inputs, mapped


class Rows(Protocol):
    """The samples of one rank in their order."""

    @property
    def start(self) -> int:
        """The number of the first of them in the whole data set."""

    def __len__(self) -> int:
        """Return the number of samples on this rank."""

    def pieces(self, size: int) -> Iterator[Batch]:
        """Yield all samples in mini-batches of at most `size`, in the same way at every call."""

    def take(self, rows: Tensor) -> Batch:
        """Return the samples of these numbers, counted from the first of this rank, in this order."""

    def whole(self) -> Batch:
        """Return all samples at once; raise Misuse where they do not fit into memory."""

    def mapped(self, x: Callable[[Tensor], Tensor], y: Callable[[Tensor], Tensor]) -> "Rows":
        """Return the same samples with x(leaf) in place of each array of inputs, y(leaf) of each array of targets."""


@dataclass(frozen=True)
class Held:
    """Samples in memory: inputs x (n, ...) and targets y (n, ...)."""

    x: Inputs
    y: Inputs
    start: int = 0

    def __len__(self) -> int:
        return len(self.x)

    def pieces(self, size: int) -> Iterator[Batch]:
        """Yield mini-batches of `size` samples, the last one shorter."""
        yield from self.whole().pieces(size)

    def take(self, rows: Tensor) -> Batch:
        """Return the samples of these numbers, in this order."""
        return Batch(self.x[rows], self.y[rows], 0)

    def whole(self) -> Batch:
        """Return all samples; nothing is copied."""
        return Batch(self.x, self.y, self.start)

    def mapped(self, x: Callable[[Tensor], Tensor], y: Callable[[Tensor], Tensor]) -> "Held":
        """Return the same samples with functions of the arrays of inputs and of targets in their places."""
        return Held(mapped(x, self.x), mapped(y, self.y), self.start)
