"""Norms, lookups, slopes, sums and products entry by entry, each with what the gradients of its parameters need."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scalecurv.affine.linear_uses import Record, output_of, padded, without_graph
from scalecurv.affine.uses import Entrywise, Lookup, Use


def _norm(run: Callable[..., Tensor], axis: int) -> Callable[..., Tensor | None]:
    """Return the recorder of a norm: `run(input, weight, bias, rest)` with parameters of channels on `axis`."""

    def norm(record: Record, input: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any) -> Tensor | None:
        if {record.name(weight), record.name(bias)} == {None}:
            return None
        out = output_of(run(input, *without_graph(record, weight, bias), *rest))
        if out is None:
            return None
        uses: list[tuple[object, Use]] = []
        if weight is not None and record.name(weight) is not None:
            with torch.no_grad():
                factor = run(input, None, None, *rest)
            uses.append((weight, Entrywise(out, padded(weight, out, axis), factor)))
        if bias is not None:
            uses.append((bias, Entrywise(out, padded(bias, out, axis))))
        return record.keep(out, uses)

    return norm


_BY_LAYER = _norm(lambda x, w, b, shape, eps: F.layer_norm(x, shape, w, b, eps), -1)
_BY_SQUARE = _norm(lambda x, w, b, shape, eps: F.rms_norm(x, shape, w, eps), -1)
_BY_GROUP = _norm(lambda x, w, b, groups, eps: F.group_norm(x, groups, w, b, eps), 1)
_BY_BATCH = _norm(lambda x, w, b, mean, var, eps: F.batch_norm(x, mean, var, w, b, False, 0.0, eps), 1)
_BY_INSTANCE = _norm(lambda x, w, b, mean, var, own, eps: F.instance_norm(x, mean, var, w, b, own, 0.0, eps), 1)


def _layer_norm(
    record: Record,
    input: Tensor,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor | None:
    return _BY_LAYER(record, input, weight, bias, normalized_shape, eps)


def _rms_norm(
    record: Record, input: Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Tensor | None:
    return _BY_SQUARE(record, input, weight, None, normalized_shape, eps)


def _group_norm(
    record: Record, input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Tensor | None:
    return _BY_GROUP(record, input, weight, bias, num_groups, eps)


def _batch_norm(
    record: Record,
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    return None if training else _BY_BATCH(record, input, weight, bias, running_mean, running_var, eps)


def _instance_norm(
    record: Record,
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if use_input_stats and running_mean is not None:  # it would write to the running statistics
        return None
    return _BY_INSTANCE(record, input, weight, bias, running_mean, running_var, use_input_stats, eps)


def _prelu(record: Record, input: Tensor, weight: Tensor) -> Tensor | None:
    if record.name(weight) is None or (weight.numel() > 1 and input.ndim < 2):
        return None
    out = output_of(F.prelu(input, weight.detach()))
    if out is None:
        return None
    shape = padded(weight, out, 1) if input.ndim > 1 else (1,) * out.ndim
    return record.keep(out, [(weight, Entrywise(out, shape, input.detach().clamp(max=0)))])


def _embedding(
    record: Record,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: Any = None,
    *_: Any,
    **__: Any,
) -> Tensor | None:
    name = record.name(weight)
    if name is None or max_norm is not None:
        return None
    if input.shape[:1] != (record.count,) and padding_idx is None and len(input.unique()) == input.numel():
        return record.alias(F.embedding(input, weight), name)  # positions: rows of the table, the same for all samples
    out = output_of(F.embedding(input, weight.detach(), padding_idx))
    padding = None if padding_idx is None else padding_idx % len(weight)
    return None if out is None else record.keep(out, [(weight, Lookup(out, input, padding))])


def _expand(record: Record, parameter: Tensor, *sizes: Any, **others: Any) -> Tensor | None:
    if record.name(parameter) is None or others:
        return None
    size = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    out = output_of(parameter.detach().expand(size).clone())
    return None if out is None else record.keep(out, [(parameter, Entrywise(out, padded(parameter, out)))])


def _entrywise(run: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor | None]:
    def entrywise(record: Record, a: Any, b: Any, **others: Any) -> Tensor | None:
        if (record.name(a) is None) == (record.name(b) is None) or others:
            return None
        parameter, other = (a, b) if record.name(a) is not None else (b, a)
        if not isinstance(other, Tensor):
            return None
        out = output_of(run(*without_graph(record, a, b)))  # type: ignore[arg-type]
        if out is None:
            return None
        factor = None
        if run is torch.mul:
            factor = other.detach()
        elif run is torch.sub and parameter is b:
            factor = out.new_tensor(-1.0)
        return record.keep(out, [(parameter, Entrywise(out, padded(parameter, out), factor))])

    return entrywise


ENTRYWISE: dict[Any, Callable[..., Tensor | None]] = {
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    torch.group_norm: _group_norm,
    F.rms_norm: _rms_norm,
    torch.rms_norm: _rms_norm,
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.prelu: _prelu,
    F.embedding: _embedding,
    Tensor.expand: _expand,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), _entrywise(torch.add)),
    **dict.fromkeys((torch.sub, Tensor.sub, Tensor.__sub__), _entrywise(torch.sub)),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), _entrywise(torch.mul)),
}
