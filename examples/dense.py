"""The Hessian as a full matrix, by plain autograd: the examples compare their numbers with it."""

import math

import torch
from torch import Tensor, nn


def dense_hessian(model: nn.Module, loss: Tensor) -> Tensor:
    """Return d^2 loss / d theta^2, (P, P), one row after the other; `loss` was computed with this model."""
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    entries = torch.cat([part.flatten() for part in gradient])
    rows = (torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True) for entry in entries)
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def compare(name: str, value: float, truth: Tensor) -> None:
    """Print both numbers, and stop where they differ by more than rounding."""
    print(f"{name}: {value:.10g}, from the dense Hessian {float(truth):.10g}")
    assert math.isclose(value, float(truth), rel_tol=1e-8), f"{name} is not that of the dense Hessian"
