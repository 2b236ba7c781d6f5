"""Batches joined in memory, without a second copy of all samples."""

from typing import Any

from scalecurv.samples.nested import leaves_of, mapped
from scalecurv.samples.pairs import Pair


def copied(pair: Pair) -> Pair:
    """Return a pair of tensors that shares no memory with this one, as a loader may use it for the next batch."""
    return Pair(pair.x.clone(), pair.y.clone())


def joined(parts: list[Pair]) -> Pair:
    """Return all rows of the parts, tensors of one form a sample, one below the other, and empty the list.

    Each part is freed as soon as it is copied. Most systems take memory only when it is first written to, so hardly
    more than one copy of all samples is held.

    Example:
        >>> import torch
        >>> joined([Pair(torch.zeros(2, 3), torch.zeros(2)), Pair(torch.ones(1, 3), torch.ones(1))]).y
        tensor([0., 0., 1.])
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
