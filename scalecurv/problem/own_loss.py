"""The loss that a model computes itself where it is handed labels, compared with the loss that was asked for."""

import inspect
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.forward import Forward
from scalecurv.problem.loss import Criterion, Loss
from scalecurv.problem.losses.targets import class_axes, same_places
from scalecurv.problem.outputs import part_of
from scalecurv.problem.user_model import arguments, quoted
from scalecurv.samples.nested import Inputs, leaves_of

ALIKE = 1e-3  # relative: two losses of the same samples that differ by no more are one loss
IGNORED = -100  # as torch calls a target that does not count
OPTIONAL = ("targets", "target", "labels", "y")  # arguments by which models are handed targets
LABELS = "labels"  # as models of Hugging Face's library call the argument


def refuse_shifted(forward: Forward, loss: Loss, theta: Tensor, x: Inputs, y: Any) -> None:
    """Raise Misuse where labels are the tokens of x themselves and the model's own loss takes the next token's label.

    A causal language model shifts labels itself, so that data sets hold them unshifted. x and y are some samples. A
    model whose forward takes no `labels`, or fails with them, has nothing to compare with, and a loss of the user's own
    may shift labels itself.
    """
    if loss.foreign or not isinstance(y, Tensor) or y.ndim != 2 or len(forward.shape) != 2 or not _is_copied(x, y):
        return
    if LABELS not in inspect.signature(type(forward.model).forward).parameters:
        return
    try:
        own = _own_loss(forward, theta, x, y)
    except CheckpointError:
        return
    shifted = torch.cat([y[:, 1:], torch.full_like(y[:, :1], IGNORED)], 1)
    f = forward.outputs(theta, x)
    if own is not None and not _alike(_mean(loss, f, y), own) and _alike(_mean(loss, f, shifted), own):
        raise Misuse(
            f"the model's own loss of these labels is {own:.6g}, and {loss.name} gives {_mean(loss, f, y):.6g}: the "
            f"model compares each token's outputs with the next token's label, as a causal language model does; give "
            f"labels shifted by one: torch.cat([y[:, 1:], torch.full_like(y[:, :1], {IGNORED})], 1)"
        )


def advising(criterion: Criterion, model: nn.Module) -> Criterion:
    """Return the criterion; where forward takes optional targets, its refusals of shapes advise to hand them over.

    A forward(x, targets=None) may return the outputs of the last token only, unless it is given targets.
    """
    takes = inspect.signature(type(model).forward).parameters
    name = next((name for name in OPTIONAL if name in takes and takes[name].default is None), None)

    def on(shape: tuple[int, ...], y: Any) -> Loss:
        try:
            return criterion.on(shape, y)
        except Misuse as error:
            if not isinstance(y, Tensor) or class_axes(shape, tuple(y.shape[1:])) or same_places(shape, y):
                raise  # the shapes fit: more outputs would not help
            advice = f"or, as forward takes {name} too, hand them over as a second input: ((x, y), y)"
            raise Misuse(f"{error}; {advice}") from error

    return criterion if name is None else replace(criterion, on=on)


def _is_copied(x: Inputs, y: Tensor) -> bool:
    """Return True where the labels that count are the tokens at the same places of x."""
    counted = y != IGNORED
    tokens = [leaf for leaf in leaves_of(x) if leaf.shape == y.shape and not leaf.is_floating_point()]
    return bool(counted.any()) and any(bool((leaf == y)[counted].all()) for leaf in tokens)


def _own_loss(forward: Forward, theta: Tensor, x: Inputs, y: Tensor) -> float | None:
    """Return the number `.loss` of what the model returns for x and the labels y; None where there is none."""
    with quoted(forward.model, "the model's own loss"):
        positional, named = arguments(forward.model, x.clone())
        returned = forward.called(theta, positional, {**named, LABELS: y.clone()})
    own = part_of(returned, ".loss", None)
    return float(own) if isinstance(own, Tensor) and own.numel() == 1 else None


def _mean(loss: Loss, f: Tensor, y: Tensor) -> float:
    weight = float(loss.weights(y).double().sum())
    return float(loss.total(f, y)) / weight if weight else 0.0


def _alike(a: float, b: float) -> bool:
    return abs(a - b) <= ALIKE * max(abs(a), abs(b))
