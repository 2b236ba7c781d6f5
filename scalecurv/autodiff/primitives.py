"""Operations of torch without a second derivative, or with a wrong one, written out in primitives.

Every function takes the arguments of torch's own and has its value and gradient, to rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

FAR = -1e30  # stands for log 0: with -inf, 0 times infinity would give NaN


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """Return g v / |v|, the norm over all axes except `dim`, or over all axes for -1.

    The double backward of torch's fused form holds the saved norms constant (pytorch/pytorch#175754).
    """
    others = tuple(axis for axis in range(v.ndim) if dim == -1 or axis != dim % v.ndim)
    square = v.square()
    norm = (square.sum(others, keepdim=dim != -1) if others else square).sqrt()
    return v * (g / norm)


def weight_norm_interface(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """Return g v / |v| and the norms, over all axes except `dim`, as torch's fused form does."""
    axis = dim % v.ndim
    return weight_norm(v, g, axis), torch.norm_except_dim(v, 2, axis)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(x + 3, 0), 6) / 6; torch's own slope is 1/6 in float32, for float64 inputs too."""
    result = F.relu6(input + 3) / 6
    return input.copy_(result) if inplace else result


def hardsigmoid_(input: Tensor) -> Tensor:
    return hardsigmoid(input, True)


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Return the randomized leaky ReLU; in eval mode its slope is the middle of the interval."""
    if training:
        return F.rrelu(input, lower, upper, True, inplace)
    return F.leaky_relu(input, (lower + upper) / 2, inplace)


def _rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Tensor:
    return rrelu(input, lower, upper, training)


def _rrelu_(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Tensor:
    return rrelu(input, lower, upper, training, True)


def _length(difference: Tensor, p: float) -> Tensor:
    """Return the p-norm over the last axis; its derivatives at zero are zero, as those of torch.cdist."""
    size = difference.abs()
    if p == torch.inf:
        return size.amax(-1)
    if p == 0:
        return (size > 0).to(size.dtype).sum(-1)
    if p == 1:
        return size.sum(-1)
    if p == 2:
        power = difference.square().sum(-1)
    else:
        zero = size == 0
        power = size.masked_fill(zero, 1.0).pow(p).masked_fill(zero, 0.0).sum(-1)
    zero = power == 0
    return power.masked_fill(zero, 1.0).pow(1 / p).masked_fill(zero, 0.0)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """Return the distances of all pairs of rows, by differences, which do not cancel as inner products do."""
    return _length(x1[..., :, None, :] - x2[..., None, :, :], p)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Return the distances of the pairs i < j of rows."""
    first, second = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return _length(input[first] - input[second], p)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    return loss if reduction == "none" else getattr(loss, reduction)()


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return sum over i != y of w_y max(0, margin - x_y + x_i)^p / C, reduced over samples."""
    if size_average is not None or reduce is not None:
        return F.multi_margin_loss(input, target, p, margin, weight, size_average, reduce, reduction)
    index = target[..., None]
    gaps = (margin - input.gather(-1, index) + input).clamp(min=0) ** p
    if weight is not None:
        gaps = gaps * weight[index]
    own = torch.zeros_like(input, dtype=torch.bool).scatter(-1, index, True)
    return _reduced(gaps.masked_fill(own, 0.0).sum(-1) / input.shape[-1], reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return sum over labels j and others i of max(0, 1 - x_j + x_i) / C; the labels end at the first -1."""
    if size_average is not None or reduce is not None:
        return F.multilabel_margin_loss(input, target, size_average, reduce, reduction)
    given = (target < 0).cumsum(-1) == 0
    index = target.clamp(min=0)
    own = torch.zeros_like(input).scatter_add(-1, index, given.to(input.dtype)) > 0
    gaps = (1 - input.gather(-1, index)[..., :, None] + input[..., None, :]).clamp(min=0)
    counted = given[..., :, None] & ~own[..., None, :]
    return _reduced(gaps.masked_fill(~counted, 0.0).sum((-2, -1)) / input.shape[-1], reduction)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return -log of the sum over all alignments by the forward recursion of Graves et al. 2006, eq. 6-8."""
    device = log_probs.device
    steps, lengths = (torch.as_tensor(n, device=device).long().reshape(-1) for n in (input_lengths, target_lengths))
    if log_probs.ndim == 2:
        alone = log_probs[:, None], targets.reshape(1, -1)
        return ctc_loss(*alone, steps, lengths, blank, reduction, zero_infinity).squeeze(0)
    if targets.ndim == 1:
        targets = pad_sequence(list(targets.split(lengths.tolist())), batch_first=True)
    targets = targets.where(torch.arange(targets.shape[1], device=device) < lengths[:, None], blank)
    labels = torch.full((len(targets), 2 * targets.shape[1] + 1), blank, device=device)
    labels[:, 1::2] = targets
    skips = F.pad((labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2]), (2, 0))
    emitted = log_probs.transpose(0, 1).gather(2, labels[:, None].expand(-1, len(log_probs), -1))
    alpha = torch.full_like(emitted[:, 0], FAR)
    alpha = torch.cat([emitted[:, 0, :2], alpha[:, 2:]], 1)
    for t in range(1, len(log_probs)):
        before, skipped = F.pad(alpha, (1, 0), value=FAR)[:, :-1], F.pad(alpha, (2, 0), value=FAR)[:, :-2]
        reached = torch.stack([alpha, before, skipped.masked_fill(~skips, FAR)]).logsumexp(0)
        alpha = torch.where((t < steps)[:, None], reached + emitted[:, t], alpha)
    ends = alpha.gather(1, torch.stack([2 * lengths, (2 * lengths - 1).clamp(min=0)], 1))
    ends = torch.stack([ends[:, 0], ends[:, 1].masked_fill(lengths == 0, FAR)], 1)
    return _finished(-ends.logsumexp(1), lengths, reduction, zero_infinity)


def _finished(loss: Tensor, lengths: Tensor, reduction: str, zero_infinity: bool) -> Tensor:
    """Return the reduced loss; a mean first divides the loss of each sample by its number of labels.

    The loss of a sample without any alignment is infinite, or 0 with `zero_infinity`.
    """
    loss = loss.masked_fill(loss > -FAR / 2, 0.0 if zero_infinity else torch.inf)
    if reduction == "mean":
        loss = loss / lengths.to(loss).clamp(min=1)
    return _reduced(loss, reduction)


REPLACEMENTS: dict[Callable, Callable] = {
    torch._weight_norm: weight_norm,
    torch._weight_norm_interface: weight_norm_interface,
    F.hardsigmoid: hardsigmoid,
    torch._C._nn.hardsigmoid: hardsigmoid,
    torch._C._nn.hardsigmoid_: hardsigmoid_,
    F.rrelu: rrelu,
    torch.rrelu: _rrelu,
    torch.rrelu_: _rrelu_,
    torch.cdist: cdist,
    F.pdist: pdist,
    F.multi_margin_loss: multi_margin_loss,
    F.multilabel_margin_loss: multilabel_margin_loss,
    F.ctc_loss: ctc_loss,
}
