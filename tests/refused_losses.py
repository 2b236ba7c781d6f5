"""Losses that do not fit what they are given: each is refused with a line that names the one that does."""

import math
from typing import Any

import torch
from torch import Tensor, nn

RNG = torch.Generator().manual_seed(0)
X = torch.randn(4, 2, generator=RNG)
CLASSES, NUMBERS = torch.tensor([0, 1, 2, 0]), torch.randn(4, 3, generator=RNG)
LABELS = torch.tensor([[0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]])


def net(*shape: int) -> nn.Module:
    """Return a network whose outputs have this shape."""
    last = [nn.Unflatten(1, shape)] if len(shape) > 1 else []
    with torch.random.fork_rng():
        torch.manual_seed(0)  # one of the lines tells a number
        return nn.Sequential(nn.Linear(2, math.prod(shape)), *last)


def averaged(f: Tensor, y: Tensor) -> Tensor:
    """A loss of one's own that hides the weights of the samples."""
    return (f - y).square().mean()


# words for it, the shape of one sample's outputs, targets, loss
REFUSED: dict[str, tuple[tuple[int, ...], Tensor, Any]] = {
    "a misspelt name": ((3,), CLASSES, "crossentropy"),
    "an argument that there is not": ((3,), CLASSES, "cross_entropy(smoothing=0.1)"),
    "`cross_entropy`, classes (N, T) and two axes of that size": ((3, 3), LABELS, "cross_entropy"),
    "`cross_entropy`, a class beyond the outputs": ((3,), CLASSES + 1, "cross_entropy"),
    "`cross_entropy`, several yes/no labels": ((3,), LABELS, "cross_entropy"),
    "`cross_entropy`, numbers": ((3,), NUMBERS, "cross_entropy"),
    "`cross_entropy`, one output": ((1,), LABELS[:, 0], "cross_entropy"),
    "`cross_entropy`, all targets -100": ((3,), torch.full((4,), -100), "cross_entropy"),
    "`logistic`, classes": ((3,), CLASSES, "logistic"),
    "`mse`, two columns of targets and three outputs": ((3,), NUMBERS[:, :2], "mse"),
    "`nll`, outputs that are logits": ((3,), CLASSES, "nll"),
    "a loss of three tensors": ((3,), CLASSES, nn.TripletMarginLoss()),
    "a function that returns a mean": ((3,), NUMBERS, averaged),
}
