"""A batch of consecutive samples: every sum over data is a sum over batches."""

from collections.abc import Iterator
from dataclasses import dataclass

from scalecurv.samples.nested import Inputs


@dataclass(frozen=True)
class Batch:
    """Consecutive samples: inputs x (B, ...), targets y, and the index of the first."""

    x: Inputs
    y: Inputs
    start: int

    def pieces(self, size: int) -> "Iterator[Batch]":
        """Yield the batch in runs of at most `size` samples."""
        for i in range(0, len(self.x), size):
            yield Batch(self.x[i : i + size], self.y[i : i + size], self.start + i)
