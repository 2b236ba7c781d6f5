"""The uses of a parameter in one pass forward, and each sample's squared gradient from the cotangents of their outputs.

A use is linear in the parameter, and so the gradient of sample i is a sum over the sample's tokens t of delta_t times
what the use holds: an outer product, a product entry by entry, or a row of a table. delta is the cotangent of the
output of the use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Squares = Callable[[Sequence[Tensor]], Tensor]  # cotangents of all uses -> |gradient|^2 of each sample, (B,) in float64
TILE = 1 << 17  # scalars of the gradients that are held at once: more of them leave the processor's cache


class Misfit(Exception):
    """An output has no axis of samples where the layout has one."""


@dataclass(frozen=True)
class Layout:
    """The kind of a use, and the axis of its output along which samples lie, each of them k tokens long.

    The tokens of a sample are neighbours, or, where `strided`, lie B apart.
    """

    kind: type
    axis: int
    strided: bool = False

    def rows(self, tensor: Tensor, count: int) -> Tensor:
        """Return the tensor as (B, k, ...), B = `count` samples; raise Misfit where its axis holds no B k entries."""
        if self.axis >= tensor.ndim or tensor.shape[self.axis] % count or not tensor.shape[self.axis]:
            raise Misfit
        moved = tensor.movedim(self.axis, 0)
        if self.strided:
            return moved.unflatten(0, (-1, count)).transpose(0, 1)
        return moved.unflatten(0, (count, -1))


@dataclass(frozen=True)
class Outer:
    """A linear map or convolution: the gradient is sum_t delta_t u_t', for each group of channels.

    `out` are its outputs and `inputs` its inputs u. A linear map has them as (..., m) and (..., n). A convolution has
    `groups` g, and them as (R, g m, ...) and (R, g, n, T), where u is what each output sees.
    """

    out: Tensor
    inputs: Tensor
    groups: int = 0

    @property
    def held(self) -> int:
        """The scalars that this use keeps, a copy of outputs and inputs for the squares counted."""
        return 2 * (self.out.numel() + self.inputs.numel())

    def columns(self, rows: Tensor) -> Tensor:
        """Return (B, k, ...) as (B, g, channels, T), the tokens of a sample side by side."""
        if not self.groups:
            return rows.flatten(1, -2)[:, None].mT
        return rows.permute(0, 2, 3, 1, 4).flatten(3)

    def deltas(self, cotangent: Tensor, layout: Layout, count: int) -> Tensor:
        """Return delta as (B, g, m, T)."""
        if self.groups:
            cotangent = cotangent.flatten(2).unflatten(1, (self.groups, -1))
        return self.columns(layout.rows(cotangent, count))

    def seen(self, layout: Layout, count: int) -> Tensor:
        """Return u as (B, g, n, T)."""
        return self.columns(layout.rows(self.inputs, count))

    @staticmethod
    def prepared(uses: "Sequence[Outer]", layouts: Sequence[Layout], count: int) -> Squares:
        """Return the function of cotangents, with the inner products of inputs taken where that is cheaper."""
        for use, layout in zip(uses, layouts, strict=True):
            if layout.axis > 0 if use.groups else layout.axis == use.out.ndim - 1:
                raise Misfit
        parts = [use.seen(layout, count) for use, layout in zip(uses, layouts, strict=True)]
        U = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        channels = uses[0].out.shape[1] // uses[0].groups if uses[0].groups else uses[0].out.shape[-1]
        n, T = U.shape[-2:]
        inner = None
        if T == 1:
            inner = U.double().square().sum((2, 3))
        elif T * (n + channels) < n * channels:
            inner = U.mT @ U

        def squares(cotangents: Sequence[Tensor]) -> Tensor:
            found = [u.deltas(d, layout, count) for u, d, layout in zip(uses, cotangents, layouts, strict=True)]
            deltas = found[0] if len(found) == 1 else torch.cat(found, -1)
            if inner is None:
                return _squares_of_products(deltas, U)
            if T == 1:
                return (deltas.double().square().sum((2, 3)) * inner).sum(1)
            return ((deltas.mT @ deltas).double() * inner).sum((1, 2, 3))

        return squares


def _squares_of_products(deltas: Tensor, U: Tensor) -> Tensor:
    """Return |delta u'|^2 of each sample, (B,), a few samples at a time."""
    (B, g, m, T), n = deltas.shape, U.shape[2]
    step, found = max(1, TILE // (g * m * n)), []
    for start in range(0, B, step):
        some = slice(start, start + step)
        product = torch.bmm(deltas[some].reshape(-1, m, T), U[some].reshape(-1, n, T).mT)
        found.append(product.double().square_().view(-1, g * m * n).sum(1))
    return found[0] if len(found) == 1 else torch.cat(found)


@dataclass(frozen=True)
class Entrywise:
    """A product of the parameter with `factor`, entry by entry after broadcasting, or a sum with it where that is None.

    `shape` is that of the parameter with an axis of 1 for each further axis of `out`, by which it is repeated.
    """

    out: Tensor
    shape: tuple[int, ...]
    factor: Tensor | None = None

    @property
    def held(self) -> int:
        """The scalars that this use keeps."""
        return self.out.numel() * (2 if self.factor is None else 3)

    def gradient(self, cotangent: Tensor, layout: Layout, count: int) -> Tensor:
        """Return the gradient of each sample, (B, entries)."""
        product = cotangent if self.factor is None else cotangent * self.factor
        rows = layout.rows(product, count)
        shape = [size for axis, size in enumerate(self.shape) if axis != layout.axis]
        repeated = [1, *(2 + i for i, size in enumerate(shape) if size == 1)]
        return rows.sum(repeated).reshape(count, -1)

    @staticmethod
    def prepared(uses: "Sequence[Entrywise]", layouts: Sequence[Layout], count: int) -> Squares:
        """Return the function of cotangents."""
        if any(use.shape[layout.axis] != 1 for use, layout in zip(uses, layouts, strict=True)):
            raise Misfit

        def squares(cotangents: Sequence[Tensor]) -> Tensor:
            first, *others = (
                use.gradient(cotangent, layout, count)
                for use, cotangent, layout in zip(uses, cotangents, layouts, strict=True)
            )
            return sum(others, first).double().square().sum(1)

        return squares


@dataclass(frozen=True)
class Lookup:
    """Rows `ids` (...) of a table, as `out` (..., d); rows of number `padding` have gradient zero."""

    out: Tensor
    ids: Tensor
    padding: int | None

    @property
    def held(self) -> int:
        """The scalars that this use keeps."""
        return 3 * self.out.numel()

    @staticmethod
    def prepared(uses: "Sequence[Lookup]", layouts: Sequence[Layout], count: int) -> Squares:
        """Return the function of cotangents: those of the same row and sample are added before they are squared."""
        if any(layout.axis == use.out.ndim - 1 for use, layout in zip(uses, layouts, strict=True)):
            raise Misfit
        parts = [layout.rows(use.ids, count).flatten(1) for use, layout in zip(uses, layouts, strict=True)]
        used = [
            torch.ones_like(part, dtype=torch.bool) if use.padding is None else part != use.padding
            for use, part in zip(uses, parts, strict=True)
        ]
        ids = torch.cat(parts, 1)
        numbered = ids + (int(ids.max()) + 1) * torch.arange(count, device=ids.device)[:, None]
        places, place = torch.unique(numbered, return_inverse=True)
        sample = torch.zeros_like(places).scatter_(
            0, place.flatten(), torch.arange(count, device=ids.device).repeat_interleave(ids.shape[1])
        )

        def squares(cotangents: Sequence[Tensor]) -> Tensor:
            rows = [
                layout.rows(cotangent, count).flatten(1, -2) * mask[:, :, None]
                for cotangent, layout, mask in zip(cotangents, layouts, used, strict=True)
            ]
            deltas = torch.cat(rows, 1).flatten(0, 1)
            gradient = deltas.new_zeros(len(places), deltas.shape[1]).index_add_(0, place.flatten(), deltas)
            each = gradient.double().square().sum(1)
            return each.new_zeros(count).index_add_(0, sample, each)

        return squares


Use = Outer | Entrywise | Lookup


def prepared(uses: Sequence[Use], layouts: Sequence[Layout], count: int) -> Squares:
    """Return the function from the cotangents of all uses of one parameter to each sample's |gradient|^2, (B,).

    Raises Misfit where an output has another layout, and where the uses are of different kinds.
    """
    if not uses and not layouts:
        return lambda cotangents: torch.zeros((), dtype=torch.float64)
    if not uses or list(map(type, uses)) != [layout.kind for layout in layouts] or len(set(map(type, uses))) > 1:
        raise Misfit
    for use, layout in zip(uses, layouts, strict=True):
        layout.rows(use.out, count)
    return type(uses[0]).prepared(uses, layouts, count)  # type: ignore[arg-type]
