"""What a loss is: a sum over samples, twice differentiable in the outputs, and what is known of its curvature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.errors import Misuse, first_line, is_memory


@dataclass(frozen=True)
class Loss:
    """`total(f, y)` sums the loss over the samples of a batch, f of shape (B, D), twice differentiable in f.

    `targets(y, D)` turns the targets as given into what `total` takes, raising Misuse where it cannot.
    `factor(f, y)` of shape (B, D, D) holds F_i with F_i F_i' = M_i = d^2 loss / df^2 at sample i; None where none is
    known. `bend(f, y, v)` is M_i v_i, (B, D), by the same factors: where p is near 1, p - p^2 cancels and these do not.
    `second(f)`, of classifiers, is the probability of the second class of each sample, (B,). `float_targets` says that
    integers among the targets are quantities, not indices; `foreign` that nothing is known but what autograd says.
    """

    name: str
    total: Callable[[Tensor, Tensor], Tensor]
    targets: Callable[[Tensor, int], Tensor]
    factor: Callable[[Tensor, Tensor], Tensor] | None = None
    bend: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    second: Callable[[Tensor], Tensor] | None = None
    float_targets: bool = False
    foreign: bool = False


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
