"""Lookups of rows of a table, alone or in bags, in a form that can be differentiated twice.

Options that change the gradient for an optimizer (sparse, scaled by frequency) are ignored: the derivative is that of
the loss. A padding row has gradient zero, as in torch: it is held fixed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.nn import functional as F

from scalecurv.errors import CheckpointError

ROUNDING = 1e-6  # relative length by which rows that float32 shortened to max_norm may still exceed it


_lengths_count: ContextVar[bool] = ContextVar("lengths count", default=True)


@contextmanager
def any_length() -> Iterator[None]:
    """Allow rows longer than max_norm in this context, for points near one at which no row is longer."""
    token = _lengths_count.set(False)
    try:
        yield
    finally:
        _lengths_count.reset(token)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows `input` of `weight`; raise CheckpointError where max_norm would write to the weights."""
    if max_norm is not None:
        _check_lengths(input, weight, max_norm, norm_type)
    return F.embedding(input, weight, padding_idx)


def _table_first(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return rows of a table, by the arguments of torch.embedding, which takes the table first."""
    return torch.embedding(weight, indices, padding_idx)


def _check_lengths(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Raise CheckpointError where a row that is looked up is longer than max_norm: torch would shorten it in place."""
    if not _lengths_count.get():
        return
    fits = weight.detach().norm(norm_type, dim=1) <= max_norm * (1 + ROUNDING)
    if not fits.all() and not fits[input].all():
        raise CheckpointError(
            f"an embedding with max_norm={max_norm:g} looks up rows that are longer, and shortens them in its weights: "
            f"{int((~fits).sum())} of {len(fits)} rows are; shorten them before the checkpoint is saved, "
            "by one forward pass over the data"
        )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return sums, means or maxima (B, E) over bags of rows; an empty bag is 0.

    Each bag is padded to the longest and the unused places are masked.
    """
    strange = mode not in ("sum", "mean", "max") or input.is_nested or (offsets is None) != (input.ndim == 2)
    if strange or (per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape)):
        options = max_norm, norm_type, scale_grad_by_freq, mode, sparse  # torch raises its own error for them
        return F.embedding_bag(input, weight, offsets, *options, per_sample_weights, include_last_offset, padding_idx)
    if max_norm is not None:
        _check_lengths(input, weight, max_norm, norm_type)
    if offsets is None:
        used, factors = torch.ones_like(input, dtype=torch.bool), per_sample_weights
    else:
        ends = torch.cat([offsets[1:], offsets.new_tensor([len(input)])])
        starts, ends = (offsets[:-1], offsets[1:]) if include_last_offset else (offsets, ends)
        places, used = _places(starts, ends)
        input = torch.cat([input, input.new_zeros(1)])[places.where(used, len(input))]
        factors = None if per_sample_weights is None else per_sample_weights[places.where(used, 0)]
    if padding_idx is not None:
        used = used & (input != padding_idx % len(weight))
    rows = F.embedding(input, weight)
    if factors is not None:
        rows = rows * factors[..., None]
    if mode == "max":
        rows = rows.masked_fill(~used[..., None], -torch.inf)
        empty = ~used.any(1, keepdim=True)
        return rows.masked_fill(empty[..., None], 0.0).amax(1)
    total = rows.masked_fill(~used[..., None], 0.0).sum(1)
    return total if mode == "sum" else total / used.sum(1, keepdim=True).clamp(min=1)


def _places(starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of each bag (B, longest), padded, and a mask of those that belong to it."""
    longest = int((ends - starts).max()) if len(starts) else 0
    places = starts[:, None] + torch.arange(longest, device=starts.device)
    return places, places < ends[:, None]


REPLACEMENTS: dict[Callable, Callable] = {
    F.embedding: embedding,
    torch.embedding: _table_first,
    F.embedding_bag: embedding_bag,
}
