"""A loss of the user's own: a function that gives one number a sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.curvature.loss import Loss
from scalecurv.errors import Misuse, first_line, is_memory

PerSample = Callable[[Tensor, Tensor], Tensor]


def per_sample_loss(name: str, function: PerSample) -> Loss:
    """`function(f, y)` of outputs (B, D) and targets (B, ...) as a Loss; it must return (B,), one number a sample.

    A mean or a sum would hide by what the samples are weighed: `reduction` says that, for every loss alike. Targets are
    taken as they are. Nothing is known of the second derivative, so that measures take the generic route.
    """
    return Loss(name, _Total(name, function), lambda y, num_outputs: y, foreign=True)


def try_loss(loss: Loss, f: Tensor, y: Tensor) -> None:
    """Call it once in its own arithmetic and once in float64, in which some products are taken; raises Misuse."""
    loss.total(f, y)
    loss.total(f.double(), y.double() if y.is_floating_point() else y)


@dataclass(frozen=True)
class _Total:
    name: str
    function: PerSample

    def __call__(self, f: Tensor, y: Tensor) -> Tensor:
        try:
            each = self.function(f.clone(), y.clone())  # which it may write to
        except (KeyboardInterrupt, torch.OutOfMemoryError):
            raise
        except BaseException as error:  # the user's own code: whatever it raises, its line is what helps
            if is_memory(error):  # says nothing of the loss: an attempt, to be made again
                raise
            raise Misuse(
                f"loss {self.name} raised {type(error).__name__}: {first_line(error)}; it is given outputs of shape "
                f"{tuple(f.shape)}, {f.dtype}, and targets of shape {tuple(y.shape)}, {y.dtype}, in float64 too: make "
                f"constants like f, by f.new_tensor(...)"
            ) from error
        if not isinstance(each, Tensor) or each.shape != f.shape[:1]:
            what = f"shape {tuple(each.shape)}" if isinstance(each, Tensor) else type(each).__name__
            raise Misuse(
                f"loss {self.name} returned {what} for {len(f)} sample(s); return one number a sample, shape (B,): "
                f'reduction="none" where torch has one'
            )
        return each.sum()
