"""The axis of the outputs that holds the classes, and the outputs as rows of classes, one row a position."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.problem.losses.targets import advice, class_axes, is_yes_or_no, outputs_in_words, sums_to_one


@dataclass(frozen=True)
class Layout:
    """Outputs of one sample of `shape`, whose axis number `axis` holds C classes: T positions of C classes each."""

    shape: tuple[int, ...]
    axis: int

    @property
    def num_classes(self) -> int:
        return self.shape[self.axis]

    @property
    def rest(self) -> tuple[int, ...]:
        """The shape of the classes of one sample: that of its outputs without the class axis."""
        return self.shape[: self.axis] + self.shape[self.axis + 1 :]

    @property
    def positions(self) -> int:
        return math.prod(self.rest)

    def scores(self, f: Tensor) -> Tensor:
        """Return flat outputs (B, D) as (B, T, C)."""
        whole = f.reshape(len(f), *self.shape).movedim(self.axis + 1, -1)
        return whole.reshape(len(f), self.positions, self.num_classes)

    def flat(self, rows: Tensor) -> Tensor:
        """Return (B, T, C) as flat outputs (B, D)."""
        whole = rows.reshape(len(rows), *self.rest, self.num_classes).movedim(-1, self.axis + 1)
        return whole.reshape(len(rows), -1)

    def block_diagonal(self, blocks: Tensor) -> Tensor:
        """Return (B, D, D) with the blocks (B, T, C, C) of the positions; rows are outputs, columns in any order."""
        if self.positions == 1:
            return blocks[:, 0]
        count, D = len(blocks), self.positions * self.num_classes
        # (B, C, C, T) with the diagonal of T x T in front of either axis of classes: (B, T, C, T, C)
        whole = torch.diag_embed(blocks.movedim(1, -1), dim1=1, dim2=3).reshape(count, D, D)
        places = self.scores(torch.arange(D, device=blocks.device)[None]).flatten()
        return whole[:, places.argsort()]


def layout_of(name: str, shape: tuple[int, ...], y: Tensor, axis: int | None, first: bool) -> Layout:
    """Return the layout in which targets like y fit outputs of one sample of `shape`.

    `axis` counts the axes of the outputs of N samples, None where y decides; `first` is True where the first of several
    axes that fit holds the classes, as torch has it. Raises Misuse where none fits, or several and nothing decides.
    """
    soft = y.is_floating_point()
    if math.prod(shape) == 1:
        other = "logistic" if is_yes_or_no(y) else "mse"
        raise Misuse(f"{name} of a single output is zero everywhere; give the model 2 outputs, or use {other}")
    given = tuple(y.shape[1:])
    fits = list(range(len(shape))) if soft and given == shape else [] if soft else class_axes(shape, given)
    fits = [k for k in fits if shape[k] > 1]
    if not fits:
        raise Misuse(_unfit(name, shape, y))
    if axis is not None:
        k = axis - 1 if axis > 0 else len(shape) + axis
        if axis == 0 or not 0 <= k < len(shape):
            raise Misuse(
                f"{name}: axis {axis} is none that holds classes; the outputs have shape {outputs_in_words(shape)}: "
                f"give 1 to {len(shape)}, or -1 for the last"
            )
        if k not in fits:
            places = " or ".join(f"axis={fit + 1}" for fit in fits)
            raise Misuse(
                f"{name}: axis {axis} of outputs {outputs_in_words(shape)} does not hold the classes of y of shape "
                f"{tuple(y.shape)}; give {places}"
            )
        return Layout(shape, k)
    if first and 0 in fits:
        return Layout(shape, 0)
    if soft and len(fits) > 1:  # probabilities sum to one along their own axis
        fits = [k for k in fits if sums_to_one(y, k + 1)] or fits
    if len(fits) > 1:
        places = " or ".join(f"axis={k + 1 if k + 1 < len(shape) else -1}" for k in fits)
        raise Misuse(
            f"y of shape {tuple(y.shape)} fits outputs of shape {outputs_in_words(shape)} in {len(fits)} ways; say "
            f"which axis holds the classes: {places}, as in {name.partition('(')[0]}(axis={fits[0] + 1})"
        )
    return Layout(shape, fits[0])


def _unfit(name: str, shape: tuple[int, ...], y: Tensor) -> str:
    """Return the message for targets that fit no axis of the outputs."""
    kind = "floats" if y.is_floating_point() else "integers"
    axes = [k for k in range(len(shape)) if shape[k] > 1] or [0]
    hard = " or ".join(dict.fromkeys(outputs_in_words(Layout(shape, k).rest) for k in axes))
    wanted = f"give integer classes of shape {hard}, or probabilities of shape {outputs_in_words(shape)}"
    squeezed = [k for k in range(1, y.ndim) if y.shape[k] == 1 and class_axes(shape, tuple(y.squeeze(k).shape[1:]))]
    if squeezed and not y.is_floating_point():
        wanted = f"give y.squeeze({squeezed[0]})"
    if y.is_floating_point() and class_axes(shape, tuple(y.shape[1:])) and bool((y == y.round()).all()):
        wanted = "store y as integers, y.long(), if they are classes"
    hot = [k for k in axes if tuple(y.shape[1:]) == shape and is_yes_or_no(y) and bool((y.sum(k + 1) == 1).all())]
    if hot and not y.is_floating_point():
        return f"y holds integers of shape {tuple(y.shape)}, one-hot; give classes, y.argmax({hot[0] + 1})"
    found = f"y holds {kind} of shape {tuple(y.shape)}, and the outputs have shape {outputs_in_words(shape)}"
    return f"{found}; {advice(name, shape, y, wanted)}"
