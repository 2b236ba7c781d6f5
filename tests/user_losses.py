"""What users of --loss write: functions of outputs and targets that return one number a sample."""

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = torch.tensor([1.0, 3.0, 0.5])


def smoothed(f: Tensor, y: Tensor) -> Tensor:
    """Class weights and label smoothing."""
    return functional.cross_entropy(f, y, weight=WEIGHTS.to(f.dtype), label_smoothing=0.1, reduction="none")


criterion = nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1)


def made() -> nn.Module:
    """Return a loss, as a factory does."""
    return criterion


def averaged(f: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(f, y)


def regression(f: Tensor, y: Tensor) -> Tensor:
    """Made for targets of another shape."""
    return ((f - y) ** 2).sum(1)
