"""Losses that are a sum over outputs, each against its own target: squares, absolute values, Huber's, Poisson's."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scalecurv.errors import Misuse
from scalecurv.problem.loss import Criterion, Loss, each_entry, one_each
from scalecurv.problem.losses.targets import advice, classes, numbers, one_tensor

Entry = Callable[[Tensor, Tensor], Tensor]


def entries_loss(
    name: str,
    value: Entry,
    slope: Entry,
    *,
    scale: float = 1.0,
    entries: bool = False,
    reduction: str | None = None,
    squared: bool = False,
    one_hot: bool = False,
    least: float = -math.inf,
) -> Criterion:
    """Return the loss c sum value(f, y) over outputs, c = `scale`; M is diagonal, c slope(f, y).

    A mean divides by the number of samples, or by the number of all outputs where `entries` is True. Integer targets
    are quantities, except with `one_hot` and several outputs: then targets of shape (N,) are classes. `least` is the
    smallest target that the loss takes.
    """

    def on(shape: tuple[int, ...], y: object) -> Loss:
        form = _Form(name, shape, value, slope, scale, one_hot, least)
        return Loss(
            name,
            form.total,
            form.targets,
            form.factor,
            form.bend,
            weights=each_entry(math.prod(shape)) if entries else one_each,
            float_targets=True,
            squared=squared,
            mixed=form.mixed,
        )

    return Criterion(name, on, reduction)


@dataclass(frozen=True)
class _Form:
    name: str
    shape: tuple[int, ...]
    value: Entry
    slope: Entry
    scale: float
    one_hot: bool
    least: float

    def total(self, f: Tensor, y: Tensor) -> Tensor:
        return self.scale * self.value(f, y).sum()

    def targets(self, y: object) -> Tensor:
        """Return numbers as rows (N, D), classes as one-hot rows where the loss takes them; raise Misuse for others."""
        y, shape = one_tensor(self.name, y), self.shape
        if self.one_hot and not y.is_floating_point() and y.ndim == 1 and len(shape) == 1 and shape[0] > 1:
            return functional.one_hot(classes(y, shape[0]), shape[0])
        y = numbers(self.name, shape, y)
        if self.least > -math.inf and float(y.min()) < self.least:
            hint = advice(self.name, shape, y.reshape(len(y), *shape), "give those")
            raise Misuse(
                f"y goes down to {float(y.min()):g}; {self.name} takes targets of at least {self.least:g}; {hint}"
            )
        return y

    def factor(self, f: Tensor, y: Tensor) -> Tensor:
        return torch.diag_embed((self.scale * self.slope(f, y)).sqrt())

    def mixed(self, f: Tensor, y: Tensor, s: Tensor) -> Tensor:
        return (self.scale * self.slope(f, y)).sqrt() * s

    def bend(self, f: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return self.scale * self.slope(f, y) * v


def squares(name: str = "mse", *, half: bool = True, **form: object) -> Criterion:
    """Return the loss |f - y|^2 / 2, or |f - y|^2 where `half` is False; M is I or 2 I."""
    return entries_loss(
        name,
        lambda f, y: (f - y) ** 2,
        lambda f, y: torch.full_like(f, 2.0),
        scale=0.5 if half else 1.0,
        squared=True,
        one_hot=half,
        **form,  # type: ignore[arg-type]
    )


def absolute(name: str = "l1", **form: object) -> Criterion:
    """Return the loss sum |f - y|; M is 0 wherever f differs from y."""
    return entries_loss(name, lambda f, y: (f - y).abs(), lambda f, y: torch.zeros_like(f), **form)  # type: ignore[arg-type]


def huber(name: str = "huber", *, delta: float = 1.0, **form: object) -> Criterion:
    """Return Huber's loss: r^2 / 2 where |r| < delta, r = f - y, else delta (|r| - delta / 2). (Huber 1964)

    M is 1 or 0. torch's kernel has no forward derivative, so that it is written out.
    """
    _check_positive(name, "delta", delta)

    def value(f: Tensor, y: Tensor) -> Tensor:
        r = f - y
        return torch.where(r.abs() < delta, r**2 / 2, delta * (r.abs() - delta / 2))

    return entries_loss(name, value, lambda f, y: ((f - y).abs() < delta).to(f.dtype), **form)  # type: ignore[arg-type]


def smooth_l1(name: str = "smooth_l1", *, beta: float = 1.0, **form: object) -> Criterion:
    """Return the loss r^2 / (2 beta) where |r| < beta, r = f - y, else |r| - beta / 2; M is 1/beta or 0."""
    if beta == 0:
        return absolute(name, **form)
    _check_positive(name, "beta", beta)

    def value(f: Tensor, y: Tensor) -> Tensor:
        r = f - y
        return torch.where(r.abs() < beta, r**2 / (2 * beta), r.abs() - beta / 2)

    def slope(f: Tensor, y: Tensor) -> Tensor:
        return ((f - y).abs() < beta).to(f.dtype) / beta

    return entries_loss(name, value, slope, **form)  # type: ignore[arg-type]


def poisson(
    name: str = "poisson", *, log_input: bool = True, full: bool = False, eps: float = 1e-8, **form: object
) -> Criterion:
    """Return the negative log-likelihood of counts y: exp(f) - y f, or f - y log(f + eps) where outputs are rates.

    M is exp(f), or y / (f + eps)^2. `full` adds Stirling's approximation of log y!, as torch does.
    """
    _check_positive(name, "eps", eps)

    def value(f: Tensor, y: Tensor) -> Tensor:
        return functional.poisson_nll_loss(f, y, log_input=log_input, full=full, eps=eps, reduction="none")

    def slope(f: Tensor, y: Tensor) -> Tensor:
        return f.exp() if log_input else y / (f + eps) ** 2

    return entries_loss(name, value, slope, least=0.0, **form)  # type: ignore[arg-type]


def _check_positive(name: str, option: str, given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, float | int) or not 0 < given < math.inf:
        raise Misuse(f"{name}: {option} is {given!r}; give a number above 0")


# y f^2 / 2, where the targets y are weights of either sign: second derivatives as one wishes
WEIGHTED_SQUARES = Loss(
    "weighted_squares",
    lambda f, y: (y * f**2).sum() / 2,
    lambda y: y,
    bend=lambda f, y, v: y * v,
    float_targets=True,
)
