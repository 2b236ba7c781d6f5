"""The losses by name, as sums over samples: a mean divides once, outside, so that short batches weigh less."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scalecurv.errors import Misuse
from scalecurv.problem.loss import Criterion, Loss, per_sample_loss


def _logistic(f: Tensor, y: Tensor) -> Tensor:
    return -(y * functional.logsigmoid(f) + (1 - y) * functional.logsigmoid(-f)).sum()


def _logistic_bend(f: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Return p (1 - p) v, with 1 - p as the sigmoid of -f, so that nothing cancels."""
    return f.sigmoid() * (-f).sigmoid() * v


def _logistic_factor(f: Tensor, y: Tensor) -> Tensor:
    return (f.sigmoid() * (-f).sigmoid()).sqrt()[:, :, None]


def _logistic_targets(y: Tensor, num_outputs: int) -> Tensor:
    """Return classes 0 and 1 (N,), or probabilities of class 1, (N,) or (N, 1), as one column of floats."""
    if num_outputs != 1:
        raise Misuse(
            f"logistic takes one output, the model has {num_outputs}; use cross_entropy, or give the model one output"
        )
    column = y[:, None] if y.ndim == 1 else y
    if column.ndim != 2 or column.shape[1] != 1:
        raise Misuse(f"y has shape {tuple(y.shape)}; logistic takes (N,) classes 0 and 1, or probabilities of class 1")
    low, high = column.min().item(), column.max().item()
    if low < 0 or high > 1:
        raise Misuse(f"y runs from {low:g} to {high:g}; logistic takes classes 0 and 1, or probabilities of class 1")
    return column.double()


def _squared_error(f: Tensor, y: Tensor) -> Tensor:
    return ((f - y) ** 2).sum() / 2


def _squared_error_factor(f: Tensor, y: Tensor) -> Tensor:
    return torch.eye(f.shape[1], dtype=f.dtype, device=f.device).expand(len(f), -1, -1)


def _float_targets(y: Tensor, num_outputs: int) -> Tensor:
    """Return (N, D) numbers as they are, (N,) as one column for one output, (N,) classes as one-hot rows for several.

    Whole numbers are quantities where they have as many columns as there are outputs, or where there is one output.
    """
    if not y.is_floating_point() and y.ndim == 1 and num_outputs > 1:
        return functional.one_hot(_classes(y, num_outputs), num_outputs)
    y = y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or y.shape[1] != num_outputs:
        raise Misuse(
            f"y has shape {tuple(y.shape)} but the model has {num_outputs} outputs; give y of shape (N, {num_outputs})"
        )
    return y


def _cross_entropy(f: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(f, y, reduction="sum")


def _cross_entropy_factor(f: Tensor, y: Tensor) -> Tensor:
    """Return the columns sqrt(w p_k) (e_k - p): sum_k p_k (e_k - p)(e_k - p)' = diag(p) - pp', w the targets' sum."""
    p = f.softmax(1)
    weight = y.sum(1) if y.is_floating_point() else torch.ones_like(p[:, 0])
    root = (weight[:, None] * p).sqrt()
    return torch.diag_embed(root) - p[:, :, None] * root[:, None, :]


def _cross_entropy_bend(f: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Return F F'v without writing the factor out."""
    p = f.softmax(1)
    weight = y.sum(1) if y.is_floating_point() else torch.ones_like(p[:, 0])
    root = (weight[:, None] * p).sqrt()
    inner = root * (v - (p * v).sum(1, keepdim=True))
    return root * inner - p * (root * inner).sum(1, keepdim=True)


def _class_targets(y: Tensor, num_outputs: int) -> Tensor:
    """Return (N,) classes and (N, D) class probabilities as they are; raise Misuse for other targets."""
    if num_outputs == 1:
        raise Misuse("cross_entropy of a single output is zero everywhere; give the model 2 outputs, or use mse")
    if not y.is_floating_point():
        return _classes(y, num_outputs)
    if y.ndim != 2 or y.shape[1] != num_outputs:
        raise Misuse(
            f"y holds floats of shape {tuple(y.shape)}; cross_entropy takes (N,) integer classes "
            f"or (N, {num_outputs}) probabilities"
        )
    if bool((y < 0).any()) or not torch.allclose(y.sum(1), torch.ones_like(y[:, 0]), atol=1e-4):
        raise Misuse("y holds rows that are no probabilities; make them non-negative and sum to 1, or use mse")
    return y


def _classes(y: Tensor, num_outputs: int) -> Tensor:
    """Return the classes (N,) as int64; raise Misuse where one is not below the number of outputs."""
    if y.ndim != 1:
        raise Misuse(
            f"y holds integers of shape {tuple(y.shape)}; give one class a sample, shape (N,), or a loss of your own"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= num_outputs:
        raise Misuse(
            f"y holds classes {low}..{high} but the model has {num_outputs} outputs; "
            f"classes run from 0 to {num_outputs - 1} (store y as floats for regression)"
        )
    return y.long()


def _second_probability(f: Tensor) -> Tensor:
    return f.softmax(1).topk(2, dim=1).values[:, 1]


LOSSES: dict[str, Loss] = {
    "mse": Loss("mse", _squared_error, _float_targets, _squared_error_factor, lambda f, y, v: v, float_targets=True),
    "cross_entropy": Loss(
        "cross_entropy", _cross_entropy, _class_targets, _cross_entropy_factor, _cross_entropy_bend, _second_probability
    ),
    "logistic": Loss(
        "logistic",
        _logistic,
        _logistic_targets,
        _logistic_factor,
        _logistic_bend,
        lambda f: (-f.abs()).sigmoid()[:, 0],
    ),
}


def _weighted_squares(f: Tensor, y: Tensor) -> Tensor:
    return (y * f**2).sum() / 2


# y f^2 / 2, where the targets y are weights of either sign: second derivatives as one wishes
WEIGHTED_SQUARES = Loss(
    "weighted_squares", _weighted_squares, _float_targets, bend=lambda f, y, v: y * v, float_targets=True
)


def _on_rows(loss: Loss) -> Criterion:
    """Return the criterion of a loss of (B, D), whose `targets` takes the number D of outputs too."""
    takes: Any = loss.targets

    def on(shape: tuple[int, ...], y: Tensor) -> Loss:
        return replace(loss, targets=lambda y: takes(y, math.prod(shape)))

    return Criterion(loss.name, on)


def loss_of(loss: str | Criterion | Loss | Callable[[Tensor, Tensor], Tensor]) -> Criterion:
    """Return the criterion of this name, itself, or that of a function (f, y) -> (B,); raise Misuse for others."""
    if isinstance(loss, Criterion):
        return loss
    if isinstance(loss, Loss):
        return _on_rows(loss)
    if callable(loss):
        return per_sample_loss(getattr(loss, "__name__", type(loss).__name__), loss)
    if not isinstance(loss, str):
        advice = "give x and y as one pair: Problem(model, (x, y), loss='mse')"
        raise Misuse(f"loss is of type {type(loss).__name__}, not a name or a function of (f, y); {advice}")
    if loss not in LOSSES:
        raise Misuse(f"unknown loss {loss!r}; choose from {', '.join(LOSSES)}")
    return _on_rows(LOSSES[loss])
