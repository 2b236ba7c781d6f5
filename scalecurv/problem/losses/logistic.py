"""The logistic loss of yes/no labels, one or several a sample: binary cross entropy of outputs that are logits."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scalecurv.errors import Misuse
from scalecurv.problem.loss import Criterion, Loss, each_entry, one_each
from scalecurv.problem.losses.targets import advice, coefficients, numbers


def logistic(
    name: str = "logistic",
    *,
    weight: object = None,
    pos_weight: object = None,
    entries: bool = False,
    reduction: str | None = None,
) -> Criterion:
    """Return the sum over labels of -w (u y log s(f) + (1 - y) log s(-f)), s the sigmoid, y the label in 0 .. 1.

    `weight` w and `pos_weight` u have the shape of one sample's outputs, or one that broadcasts to it. M is diagonal:
    w (u y + 1 - y) s(f) s(-f). A mean divides by the number of samples, or by the number of all labels where `entries`
    is True.
    """
    given = {"weight": coefficients(name, "weight", weight), "pos_weight": coefficients(name, "pos_weight", pos_weight)}

    def on(shape: tuple[int, ...], y: object) -> Loss:
        flat = {option: _broadcast(name, option, w, shape) for option, w in given.items()}
        form = _Form(name, shape, flat["weight"], flat["pos_weight"])
        largest = [1.0 if w is None else float(w.max()) for w in flat.values()]
        return Loss(
            name,
            form.total,
            form.targets,
            form.factor,
            form.bend,
            form.second,
            each_entry(math.prod(shape)) if entries else one_each,
            float_targets=True,
            size=largest[0] * max(1.0, largest[1]),
            mixed=form.mixed,
        )

    return Criterion(name, on, reduction)


def _broadcast(name: str, option: str, given: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """Return the weights of all outputs of a sample, (D,); raise Misuse where they do not fit its shape."""
    if given is None:
        return None
    try:
        return torch.broadcast_to(given if shape else given.squeeze(), shape).reshape(-1)
    except RuntimeError as error:
        raise Misuse(
            f"{name}: {option} has shape {tuple(given.shape)}; give one that fits the outputs of one sample, {shape}"
        ) from error


@dataclass(frozen=True)
class _Form:
    """The logistic loss of outputs of one sample of `shape`; weights are (D,), None where all are 1."""

    name: str
    shape: tuple[int, ...]
    weight: Tensor | None
    pos_weight: Tensor | None

    def total(self, f: Tensor, y: Tensor) -> Tensor:
        yes = y if self.pos_weight is None else y * self.pos_weight.to(f.device, f.dtype)
        each = yes * functional.logsigmoid(f) + (1 - y) * functional.logsigmoid(-f)
        return -(each if self.weight is None else each * self.weight.to(f.device, f.dtype)).sum()

    def targets(self, y: object) -> Tensor:
        """Return labels 0 and 1, or probabilities of 1, as floats (N, D); raise Misuse for others."""
        rows = numbers(self.name, self.shape, y)
        low, high = rows.min().item(), rows.max().item()
        if low < 0 or high > 1:
            hint = advice(self.name, self.shape, rows.reshape(len(rows), *self.shape), "give those")
            if bool((rows.abs() == 1).all()):
                hint = "give (y + 1) / 2, or use SoftMarginLoss, which takes labels -1 and 1"
            takes = f"{self.name} takes classes 0 and 1, or probabilities of class 1"
            raise Misuse(f"y runs from {low:g} to {high:g}; {takes}; {hint}")
        return rows.double()

    def mass(self, f: Tensor, y: Tensor) -> Tensor:
        """Return w (u y + 1 - y), (B, D)."""
        mass = torch.ones_like(f) if self.pos_weight is None else y * self.pos_weight.to(f.device, f.dtype) + (1 - y)
        return mass if self.weight is None else mass * self.weight.to(f.device, f.dtype)

    def slope(self, f: Tensor, y: Tensor) -> Tensor:
        """Return the diagonal of M: 1 - p is the sigmoid of -f, so that nothing cancels."""
        return self.mass(f, y) * (f.sigmoid() * (-f).sigmoid())

    def factor(self, f: Tensor, y: Tensor) -> Tensor:
        return torch.diag_embed(self.slope(f, y).sqrt())

    def mixed(self, f: Tensor, y: Tensor, s: Tensor) -> Tensor:
        return self.slope(f, y).sqrt() * s

    def bend(self, f: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return self.slope(f, y) * v

    def second(self, f: Tensor, y: Tensor) -> Tensor:
        """Return the largest probability of the less probable answer over the labels of each sample, (B,)."""
        return torch.where(self.mass(f, y) > 0, (-f.abs()).sigmoid(), 0.0).amax(1)
