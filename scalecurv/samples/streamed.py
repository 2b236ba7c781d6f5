"""Samples that are not kept in memory: every sum over them reads their source again, in the same order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.samples.batch import Batch
from scalecurv.samples.joined import copied, joined
from scalecurv.samples.nested import mapped
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream, checksum


@dataclass(frozen=True)
class Streamed:
    """The samples `start` to `stop` of a stream, as `Rows` that are read again in each pass.

    `sums` are the checksums of all batches of the stream in its first pass. A later pass in which a batch differs or is
    missing raises Misuse. `prepare` turns a pair of tensors into inputs and targets on the problem's device, in its
    dtype. The mini-batches are the same as for samples in memory, and do not depend on the batches of the stream. At
    most one mini-batch and one batch of the stream are in memory at a time. `num_bytes` counts the bytes of all
    samples.
    """

    stream: Stream
    sums: tuple[int, ...]
    prepare: Callable[[Pair], Pair]
    start: int
    stop: int
    num_bytes: int

    def __len__(self) -> int:
        return self.stop - self.start

    def _pass(self) -> Iterator[tuple[int, Pair]]:
        """Yield the own samples of each batch of the stream, with the number of the first of them."""
        at, number = 0, -1
        for number, pair in enumerate(self.stream.read()):
            if at >= self.stop and number < len(self.sums):  # else there are more than at first
                return
            if number >= len(self.sums) or checksum(pair) != self.sums[number]:
                raise self._changed(number)
            low, high = max(self.start - at, 0), min(self.stop - at, len(pair))
            if low < high:
                yield at + low, pair[low:high]
            at += len(pair)
        if number + 1 < len(self.sums):
            raise self._changed(number + 1)

    def _changed(self, number: int) -> Misuse:
        return Misuse(
            f"batch {number} of the {self.stream.name} is not what it was when it was read first: every product reads "
            f"all samples again, so give them in a fixed order, without random transforms, and leave them as they are"
        )

    def pieces(self, size: int) -> Iterator[Batch]:
        """Yield mini-batches of `size` samples, the last one shorter; raise Misuse where the samples have changed."""
        waiting: list[Pair] = []
        start = self.start
        for _, pair in self._pass():
            while len(pair):
                room = size - sum(map(len, waiting))
                waiting.append(pair[:room])
                pair = pair[room:]
                if sum(map(len, waiting)) == size:
                    yield self._batch(joined(waiting), start)
                    start += size
            if waiting:
                waiting[-1] = copied(waiting[-1])  # the source may use the memory of a batch for the next
        if waiting:
            yield self._batch(joined(waiting), start)

    def _batch(self, pair: Pair, start: int) -> Batch:
        ready = self.prepare(pair)
        return Batch(ready.x, ready.y, start)

    def take(self, rows: Tensor) -> Batch:
        """Return the samples of these numbers, in this order, from one pass."""
        wanted = rows.cpu() + self.start
        found: list[Pair] = []
        places: list[Tensor] = []
        last = int(wanted.max())
        for at, pair in self._pass():
            here = ((wanted >= at) & (wanted < at + len(pair))).nonzero()[:, 0]
            if len(here):
                found.append(pair[wanted[here] - at])
                places.append(here)
            if at + len(pair) > last:
                break
        return self._batch(joined(found)[torch.cat(places).argsort()], 0)

    def whole(self) -> Batch:
        """Raise Misuse with the memory that would hold all samples."""
        raise Misuse(
            f"this needs all {len(self)} samples at once, and they are read again for every product, as their "
            f"{self.num_bytes:,} bytes are more than the memory; give memory={self.num_bytes} or more"
        )

    def mapped(self, x: Callable[[Tensor], Tensor], y: Callable[[Tensor], Tensor]) -> "Streamed":
        """Return the same samples with functions of the arrays of inputs and of targets in their places."""
        before = self.prepare

        def prepare(pair: Pair) -> Pair:
            ready = before(pair)
            return Pair(mapped(x, ready.x), mapped(y, ready.y))

        return replace(self, prepare=prepare)
