"""A loss as a sum over samples, twice differentiable in the outputs, with its second derivative where it is known."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.errors import Misuse, first_line, is_memory


@dataclass(frozen=True)
class Loss:
    """A loss: `total(f, y)` sums it over the samples of a batch, f of shape (B, D), twice differentiable in f.

    `targets(y, D)` turns the given targets into those that `total` takes, and raises Misuse where it cannot.
    `factor(f, y)` of shape (B, D, D) holds F_i with F_i F_i' = M_i = d^2 loss / df^2 at sample i; None where none is
    known. `bend(f, y, v)` is M_i v_i, (B, D), by the same factors: unlike p - p^2 they do not cancel where p is near 1.
    `second(f)`, for classifiers, is the second largest probability of each sample, (B,). `float_targets` is True where
    integers among the targets are quantities, not indices; `foreign` where only autograd knows the loss.
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
    """Return the Loss of `function(f, y)`, outputs (B, D) and targets (B, ...) to (B,), one number a sample.

    A mean or a sum would hide the weights of the samples, which `reduction` sets for every loss alike. Targets are
    taken as they are. The second derivative is not known, so that measures take the generic route.

    Example:
        >>> half_square = per_sample_loss("half square", lambda f, y: ((f - y) ** 2).sum(1) / 2)
        >>> half_square.total(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]]))
        tensor(2.5000)
    """
    return Loss(name, _Total(name, function), lambda y, num_outputs: y, foreign=True)


def try_loss(loss: Loss, f: Tensor, y: Tensor) -> None:
    """Call the loss in the dtype of f and in float64, in which some products are taken; raise Misuse where it fails."""
    loss.total(f, y)
    loss.total(f.double(), y.double() if y.is_floating_point() else y)


@dataclass(frozen=True)
class _Total:
    """The sum of a user's loss over a batch; a call raises Misuse with the words of the user's code."""

    name: str
    function: PerSample

    def __call__(self, f: Tensor, y: Tensor) -> Tensor:
        try:
            each = self.function(f.clone(), y.clone())  # which it may write to
        except (KeyboardInterrupt, torch.OutOfMemoryError):
            raise
        except BaseException as error:  # the user's own code: whatever it raises, its line is what helps
            if is_memory(error):  # no fault of the loss: the attempt is repeated
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
