"""A loss as a sum over samples, twice differentiable in the outputs, with its second derivative where it is known."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scalecurv.errors import Misuse, first_line, is_memory
from scalecurv.samples.nested import Inputs, Nested, described, mapped

FLOAT64 = ", in float64 too: make constants like f, by f.new_tensor(...)"  # advice for a mix of dtypes


def one_each(y: Any) -> Tensor:
    """Return the weight 1 of each sample, (B,)."""
    return torch.ones(len(y))


def each_entry(count: int) -> Callable[[Any], Tensor]:
    """Return the weights of a mean over `count` entries a sample, each of weight 1."""
    return lambda y: torch.full((len(y),), float(count))


@dataclass(frozen=True)
class Loss:
    """A loss: `total(f, y)` sums it over the samples of a batch, f of shape (B, D), twice differentiable in f.

    `targets(y)` turns the given targets into those that `total` takes, and raises Misuse where it cannot.
    `factor(f, y)` of shape (B, D, D) holds F_i with F_i F_i' = M_i = d^2 loss / df^2 at sample i, and `mixed(f, y, s)`
    is a root of M_i times s_i, (B, D), without a matrix: F_i s_i up to the order of columns. Both are None where none
    is known. `bend(f, y, v)` is M_i v_i, (B, D), by the same factors: unlike p - p^2 they do not cancel where p is near
    1. `second(f, y)`, for classifiers, is the second largest probability of each sample, (B,), the largest over its
    positions. `weights(y)` of shape (B,) holds what each sample counts in a mean: the mean over the data is
    sum_i loss_i / sum_i weight_i. `float_targets` is True where integers among the targets are quantities, not indices;
    `foreign` where only autograd knows the loss; `squared` where the loss is a multiple of |f - y|^2. `size` bounds the
    coefficient of p - p^2 in M. `check(f)` raises Misuse for outputs that the loss does not take, whatever the targets.
    """

    name: str
    total: Callable[[Tensor, Any], Tensor]
    targets: Callable[[Any], Any]
    factor: Callable[[Tensor, Any], Tensor] | None = None
    bend: Callable[[Tensor, Any, Tensor], Tensor] | None = None
    second: Callable[[Tensor, Any], Tensor] | None = None
    weights: Callable[[Any], Tensor] = one_each
    float_targets: bool = False
    foreign: bool = False
    squared: bool = False
    size: float = 1.0
    check: Callable[[Tensor], None] | None = None
    mixed: Callable[[Tensor, Any, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Criterion:
    """A loss as the user names it, before the shapes are known that it is used on.

    `on(shape, y)` returns the Loss for outputs of one sample of `shape`, () for one number, and for targets like y
    (the first rows of them); it raises Misuse where they do not fit. `reduction` is the loss's own, None where it has
    none and the problem's counts.
    """

    name: str
    on: Callable[[tuple[int, ...], Any], Loss]
    reduction: str | None = None

    def reduced(self, asked: str | None) -> Any:
        """Return the reduction: as asked, else the loss's own, else "mean"; raise Misuse where the two differ."""
        if asked is not None and self.reduction is not None and asked != self.reduction:
            raise Misuse(
                f"reduction is {asked!r}, and loss {self.name} has the reduction {self.reduction!r}; leave one of them "
                f"out"
            )
        return asked or self.reduction or "mean"


PerSample = Callable[[Tensor, Any], Tensor]


def takes(function: Any, count: int) -> bool:
    """Return True for a function that can be called with `count` arguments; False where its signature is not known."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def check_takes_two(name: str, function: Any) -> None:
    """Raise Misuse for a function that cannot be called with (f, y); one whose signature is not known passes."""
    try:
        names = ", ".join(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return
    if not takes(function, 2):
        raise Misuse(
            f"loss {name} takes ({names}), and a loss is given (f, y), the outputs and the targets of a batch: write a "
            f"function of (f, y) that returns one number a sample"
        )


def per_sample_loss(name: str, function: PerSample) -> Criterion:
    """Return the loss of `function(f, y)`, outputs and targets of B samples to (B,) or (B, ...), summed over the rest.

    f has the shape that the model returns, and the targets are those of the data. A function that returns a mean or a
    sum over samples is refused, because `reduction` alone decides how samples are weighted. The second derivative is
    not known, so that measures take the generic route.

    Example:
        >>> half_square = per_sample_loss("half square", lambda f, y: ((f - y) ** 2).sum(1) / 2)
        >>> loss = half_square.on((1,), torch.zeros(2, 1))
        >>> loss.total(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]]))
        tensor(2.5000)
    """

    check_takes_two(name, function)

    def on(shape: tuple[int, ...], y: Any) -> Loss:
        return Loss(name, Total(name, function, shape), lambda y: y, foreign=True)

    return Criterion(name, on)


def try_loss(loss: Loss, f: Tensor, y: Inputs) -> None:
    """Try a loss on some samples; raise Misuse where it fails.

    A loss of the user's own is called in the dtype of f and in float64, in which some products are taken. A loss by
    name checks the outputs alone.
    """
    if loss.check is not None:
        loss.check(f)
    if loss.factor is None:
        loss.total(f, y)
        loss.total(f.double(), mapped(lambda part: part.double() if part.is_floating_point() else part, y))


@dataclass(frozen=True)
class Total:
    """The sum of a user's loss over a batch; a call raises Misuse with the words of the user's code."""

    name: str
    function: PerSample
    shape: tuple[int, ...]

    def __call__(self, f: Tensor, y: Inputs) -> Tensor:
        return self.each(f, y).sum()

    def each(self, f: Tensor, y: Inputs) -> Tensor:
        """Return what the user's code returns, one number or several a sample, (B, ...); raise Misuse otherwise."""
        try:
            f = f.reshape(len(f), *self.shape)
            given = y.clone()  # which it may write to, like f
            each = self.function(f.clone(), given.tree if isinstance(given, Nested) else given)
        except (KeyboardInterrupt, torch.OutOfMemoryError):
            raise
        except BaseException as error:  # the user's own code: whatever it raises, its line is what helps
            if is_memory(error):  # no fault of the loss: the attempt is repeated
                raise
            line = first_line(error)
            targets = described(y) if isinstance(y, Nested) else f"{tuple(y.shape)}, {y.dtype}"
            hint = FLOAT64 if "dtype" in line or "scalar type" in line else "; make it take these"
            raise Misuse(
                f"loss {self.name} raised {type(error).__name__}: {line}; it is given outputs of shape "
                f"{tuple(f.shape)}, {f.dtype}, and targets of shape {targets}{hint}"
            ) from error
        if not isinstance(each, Tensor) or each.shape[:1] != f.shape[:1]:
            what = f"shape {tuple(each.shape)}" if isinstance(each, Tensor) else type(each).__name__
            raise Misuse(
                f"loss {self.name} returned {what} for {len(f)} sample(s); return one number a sample, shape (B,): "
                f'reduction="none" where torch has one'
            )
        return each
