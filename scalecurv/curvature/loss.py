"""What a loss is: a sum over samples, twice differentiable in the outputs, and what is known of its curvature."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


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
