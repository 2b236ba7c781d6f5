"""Linear maps and convolutions of torch, each with what the gradients of its parameters need.

A function here runs the operation on parameters without their graph, and files what the gradient of each of them needs:
see `uses`. It returns None where it takes no parameter, or takes it in a way that has no formula.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from scalecurv.affine.uses import Entrywise, Outer, Use

Uses = Sequence[tuple[object, Use]]  # parameters and how each is used


class Record(Protocol):
    """The one who records: names of parameters, and where uses are filed; `count` samples take part in the pass."""

    count: int

    def name(self, tensor: object) -> str | None: ...

    def alias(self, view: Tensor, name: str) -> Tensor: ...

    def keep(self, out: Tensor, uses: Uses) -> Tensor: ...


def without_graph(record: Record, *tensors: Tensor | None) -> list[Tensor | None]:
    return [t.detach() if t is not None and record.name(t) is not None else t for t in tensors]


def output_of(out: Tensor) -> Tensor | None:
    """Return an output that has a cotangent; None for complex numbers, and for all inside torch.func."""
    if torch._C._functorch.is_functorch_wrapped_tensor(out) or not out.is_floating_point():
        return None
    return out if out.requires_grad else out.requires_grad_()


def padded(parameter: Tensor, out: Tensor, axis: int = -1) -> tuple[int, ...]:
    """Return the shape of a parameter among the axes of `out`; one of channels may stand on another axis than last."""
    if axis != -1:
        return tuple(parameter.numel() if i == axis else 1 for i in range(out.ndim))
    return (1,) * (out.ndim - parameter.ndim) + tuple(parameter.shape)


def _linear(record: Record, input: Tensor, weight: Tensor, bias: Tensor | None = None, **others: Any) -> Tensor | None:
    names = record.name(weight), record.name(bias)
    if names == (None, None) or others or weight.ndim != 2:
        return None
    out = output_of(F.linear(input, *without_graph(record, weight, bias)))  # type: ignore[arg-type]
    if out is None:
        return None
    uses: list[tuple[object, Use]] = []
    if names[0] is not None:
        uses.append((weight, Outer(out, input.detach())))
    if bias is not None:
        uses.append((bias, Entrywise(out, padded(bias, out))))
    return record.keep(out, uses)


def _matmul(record: Record, a: Tensor, b: Tensor, **others: Any) -> Tensor | None:
    if record.name(b) is None or others or b.ndim != 2 or record.name(a) is not None:
        return None
    out = output_of(a @ b.detach())
    return None if out is None else record.keep(out, [(b, Outer(out, a.detach()))])


def _addmm(record: Record, shift: Tensor, a: Tensor, b: Tensor, **others: Any) -> Tensor | None:
    if {record.name(shift), record.name(b)} == {None} or others or record.name(a) is not None:
        return None
    out = output_of(torch.addmm(*without_graph(record, shift, a, b)))  # type: ignore[arg-type]
    if out is None:
        return None
    return record.keep(out, [(b, Outer(out, a.detach())), (shift, Entrywise(out, padded(shift, out)))])


def _bilinear(record: Record, a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if {record.name(weight), record.name(bias)} == {None} or {record.name(a), record.name(b)} != {None}:
        return None
    out = output_of(F.bilinear(a, b, *without_graph(record, weight, bias)))  # type: ignore[arg-type]
    if out is None:
        return None
    pairs = (a.detach()[..., :, None] * b.detach()[..., None, :]).flatten(-2)
    uses: list[tuple[object, Use]] = [(weight, Outer(out, pairs))]
    if bias is not None:
        uses.append((bias, Entrywise(out, padded(bias, out))))
    return record.keep(out, uses)


def _convolution(run: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    def conv(
        record: Record,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        names = record.name(weight), record.name(bias)
        if names == (None, None) or input.ndim != weight.ndim:
            return None
        out = output_of(run(input, *without_graph(record, weight, bias), stride, padding, dilation, groups))
        if out is None:
            return None
        uses: list[tuple[object, Use]] = []
        if names[0] is not None:
            seen = windows(input.detach(), weight.shape[2:], out.shape[2:], stride, padding, dilation, groups)
            uses.append((weight, Outer(out, seen, groups)))
        if bias is not None:
            uses.append((bias, Entrywise(out, padded(bias, out, 1))))
        return record.keep(out, uses)

    return conv


def windows(
    x: Tensor, kernel: Sequence[int], places: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    """Return what each output of a convolution of x (R, C, ...) sees, (R, g, n, T), n = (C / g) times the kernel."""
    axes = len(kernel)
    steps, apart = ([v] * axes if isinstance(v, int) else [*v] * (axes // len(v)) for v in (stride, dilation))
    if isinstance(padding, str):
        whole = [(k - 1) * d if padding == "same" else 0 for k, d in zip(kernel, apart, strict=True)]
        around = [(w // 2, w - w // 2) for w in whole]
    else:
        around = [
            (p, p) for p in ([padding] * axes if isinstance(padding, int) else [*padding] * (axes // len(padding)))
        ]
    if any(map(any, around)):
        x = F.pad(x, [side for pair in reversed(around) for side in pair])
    R, C, own = *x.shape[:2], x.stride()
    moves = zip(own[2:], steps, apart, strict=True)
    by_place, by_kernel = zip(*((size * step, size * gap) for size, step, gap in moves), strict=True)
    view = x.as_strided((R, C, *kernel, *places), (*own[:2], *by_kernel, *by_place))
    return view.reshape(R, groups, C // groups * math.prod(kernel), math.prod(places))


CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
LINEAR: dict[Any, Callable[..., Tensor | None]] = {
    F.linear: _linear,
    torch.addmm: _addmm,
    F.bilinear: _bilinear,
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm), _matmul),
    **{run: _convolution(run) for run in CONVOLUTIONS},
}
