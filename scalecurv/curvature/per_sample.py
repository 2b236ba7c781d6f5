"""A loss of the user's own: a function that gives one number a sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.curvature.loss import Loss
from scalecurv.errors import Misuse

PerSample = Callable[[Tensor, Tensor], Tensor]


def per_sample_loss(name: str, function: PerSample) -> Loss:
    """`function(f, y)` of outputs (B, D) and targets (B, ...) as a Loss; it must return (B,), one number a sample.

    A mean or a sum would hide by what the samples are weighed: `reduction` says that, for every loss alike. Targets are
    taken as they are. Nothing is known of the second derivative, so that measures take the generic route.
    """
    return Loss(name, _Total(name, function), lambda y, num_outputs: y)


def try_loss(loss: Loss, f: Tensor, y: Tensor) -> None:
    """Call it once, so that what is wrong with a function of the user's own is said before anything is paid for.

    Raises Misuse with its own words.
    """
    try:
        loss.total(f, y)
    except (Misuse, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own code: whatever it raises, its line is what helps
        first = next(iter(str(error).splitlines()), "")
        raise Misuse(
            f"loss {loss.name} raised {type(error).__name__}: {first}; it is given outputs of shape {tuple(f.shape)} "
            f"and targets of shape {tuple(y.shape)}, {y.dtype}"
        ) from error


@dataclass(frozen=True)
class _Total:
    name: str
    function: PerSample

    def __call__(self, f: Tensor, y: Tensor) -> Tensor:
        each = self.function(f, y)
        if not isinstance(each, Tensor) or each.shape != f.shape[:1]:
            what = f"shape {tuple(each.shape)}" if isinstance(each, Tensor) else type(each).__name__
            raise Misuse(
                f"loss {self.name} returned {what} for {len(f)} sample(s); return one number a sample, shape (B,): "
                f'reduction="none" where torch has one'
            )
        return each.sum()
