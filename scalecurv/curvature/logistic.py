"""The loss of two classes by one output: -log sigmoid(+-f), its second derivative where a class is all but certain."""

from torch import Tensor
from torch.nn import functional

from scalecurv.curvature.loss import Loss
from scalecurv.errors import Misuse


def _total(f: Tensor, y: Tensor) -> Tensor:
    return -(y * functional.logsigmoid(f) + (1 - y) * functional.logsigmoid(-f)).sum()


def _bend(f: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """p (1 - p) v, 1 - p from its own sigmoid: nothing cancels."""
    return f.sigmoid() * (-f).sigmoid() * v


def _factor(f: Tensor, y: Tensor) -> Tensor:
    return (f.sigmoid() * (-f).sigmoid()).sqrt()[:, :, None]


def _targets(y: Tensor, num_outputs: int) -> Tensor:
    """(N,) classes 0 and 1, or probabilities of class 1, (N,) or (N, 1), as one column of floats."""
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


LOGISTIC = Loss("logistic", _total, _targets, _factor, _bend, lambda f: (-f.abs()).sigmoid()[:, 0])
