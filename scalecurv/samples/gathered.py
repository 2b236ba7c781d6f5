"""Concatenation of the samples of a stream in memory, without a second copy of them."""

from typing import Any

from scalecurv.samples.nested import leaves_of, mapped
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream


def gathered(stream: Stream) -> Pair:
    """Return all samples of a stream as one pair of tensors (N, ...), or Nesteds of some, from one pass over it.

    Raises Misuse as `Stream.read` does, and where the first samples differ when they are read again.

    Example:
        >>> import torch
        >>> pairs = torch.utils.data.TensorDataset(torch.zeros(5, 2), torch.zeros(5))
        >>> gathered(Stream("pairs", lambda: iter(pairs), single=True)).x.shape
        torch.Size([5, 2])
    """
    stream.refuse_random()
    return joined([copied(pair) for pair in stream.read()])


def copied(pair: Pair) -> Pair:
    """Return a pair of tensors that shares no memory with this one, as a loader may use it for the next batch."""
    return Pair(pair.x.clone(), pair.y.clone())


def joined(parts: list[Pair]) -> Pair:
    """Return all rows of the parts, one below the other, and empty the list.

    Each part is freed as soon as it is copied. Most systems take memory only when it is first written to, so hardly
    more than one copy of all samples is held.
    """
    if len(parts) == 1:
        return parts.pop()
    count, at = sum(map(len, parts)), 0

    def room(leaf: Any) -> Any:
        return leaf.new_empty((count, *leaf.shape[1:]))

    whole = Pair(mapped(room, parts[0].x), mapped(room, parts[0].y))
    columns = (*leaves_of(whole.x), *leaves_of(whole.y))
    parts.reverse()
    while parts:
        part = parts.pop()
        for column, leaf in zip(columns, (*leaves_of(part.x), *leaves_of(part.y)), strict=True):
            column[at : at + len(part)] = leaf
        at += len(part)
    return whole
