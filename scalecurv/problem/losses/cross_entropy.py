"""Cross entropy of classes or probabilities along one axis of the outputs, as torch has it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scalecurv.errors import Misuse
from scalecurv.problem.loss import Criterion, Loss, one_each
from scalecurv.problem.losses.classes import Layout, layout_of
from scalecurv.problem.losses.targets import (
    IGNORED,
    advice,
    classes,
    coefficients,
    one_tensor,
    sums_to_one,
)

NORMALISED = 0.02  # of log sum exp: bfloat16 inside the model rounds log-probabilities to three digits


def cross_entropy(
    name: str = "cross_entropy",
    *,
    axis: int | None = None,
    ignore_index: int = IGNORED,
    weight: object = None,
    label_smoothing: float = 0.0,
    torch_axis: bool = False,
    counted: bool = True,
    reduction: str | None = None,
    normalised: bool = False,
) -> Criterion:
    """Return cross entropy: sum_c a_c (-log p_c) at each position of a sample, p the softmax along the class axis.

    a_c = (1 - s) w_c q_c + s w_c / C, where q is the target's distribution (1 at its class), w the class weights and s
    the label smoothing. Positions whose class is `ignore_index` do not count. A mean divides by the weights w_y of the
    classes that count, and by the number of positions where targets are probabilities; where `counted` is False, by
    the number of samples. M = (sum_c a_c) (diag p - pp'). `torch_axis` takes axis 1 where several axes fit;
    `normalised` says that outputs are log-probabilities, which are their own log-softmax but for rounding.
    """
    weights = coefficients(name, "weight", weight)
    if not isinstance(label_smoothing, float | int) or not 0 <= label_smoothing <= 1:
        raise Misuse(f"{name}: label_smoothing is {label_smoothing!r}; give a number from 0 to 1")
    for option, value in (("ignore_index", ignore_index), ("axis", 1 if axis is None else axis)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise Misuse(f"{name}: {option} is {value!r}; give a whole number")

    def on(shape: tuple[int, ...], y: object) -> Loss:
        y = one_tensor(name, y)
        layout = layout_of(name, shape, y, axis, torch_axis)
        C = layout.num_classes
        if weights is not None and weights.shape != (C,):
            raise Misuse(f"{name}: weight has shape {tuple(weights.shape)}; give one number a class, {C} of them")
        form = _Form(name, layout, weights, ignore_index, float(label_smoothing), y.is_floating_point(), normalised)
        return Loss(
            name,
            form.total,
            form.targets,
            form.factor,
            form.bend,
            form.second,
            form.counted if counted else one_each,
            size=1.0 if weights is None else float(weights.max()),
            check=_log_probabilities(name, layout) if normalised else None,
            mixed=form.mixed,
        )

    return Criterion(name, on, reduction)


def nll(name: str = "nll", *, axis: int | None = None, ignore_index: int = IGNORED, weight: object = None) -> Criterion:
    """Return the negative log-likelihood of outputs that are log-probabilities: cross entropy of the same outputs."""
    return cross_entropy(name, axis=axis, ignore_index=ignore_index, weight=weight, normalised=True)


@dataclass(frozen=True)
class _Form:
    """Cross entropy in one layout, for targets of one kind: `soft` ones are probabilities.

    Where outputs are `normalised` their softmax is subtracted again from the value: log-probabilities may be off by a
    constant, such as a small number that was added to the probabilities.
    """

    name: str
    layout: Layout
    weights: Tensor | None
    ignored: int
    smoothing: float
    soft: bool
    normalised: bool

    def total(self, f: Tensor, y: Tensor) -> Tensor:
        z = self.layout.scores(f).flatten(0, 1)
        target = self.layout.scores(y.flatten(1)).flatten(0, 1) if self.soft else y.reshape(-1)
        weight = None if self.weights is None else self.weights.to(f.device, f.dtype)
        found = functional.cross_entropy(
            z, target, weight, reduction="sum", ignore_index=self.ignored, label_smoothing=self.smoothing
        )
        if not self.normalised:
            return found
        excess = self.mass(y, f.dtype) * self.layout.scores(f).logsumexp(2)
        return found - excess.sum().detach()

    def targets(self, y: object) -> Tensor:
        """Return classes as int64 and probabilities as they are; raise Misuse for others."""
        y, layout = one_tensor(self.name, y), self.layout
        wanted = layout.shape if self.soft else layout.rest
        if y.is_floating_point() != self.soft or tuple(y.shape[1:]) != wanted:
            raise Misuse(f"y has shape {tuple(y.shape)}, {y.dtype}, unlike its first rows; give one kind")
        if not self.soft:
            return classes(y, layout.num_classes, self.ignored)
        if not sums_to_one(y, layout.axis + 1):
            hint = advice(self.name, layout.shape, y, "use mse")
            raise Misuse(f"y holds rows that are no probabilities; make them non-negative and sum to 1, or {hint}")
        return y

    def mass(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Return sum_c a_c at each position, (B, T)."""
        C, s = self.layout.num_classes, self.smoothing
        w = torch.ones(C) if self.weights is None else self.weights
        w = w.to(y.device, dtype)
        if self.soft:
            q = self.layout.scores(y.flatten(1)).to(dtype)
            return ((q * (1 - s) + s / C) * w).sum(2)
        y = y.reshape(len(y), self.layout.positions)
        each = (1 - s) * w + s * w.sum() / C
        return torch.where(y == self.ignored, 0.0, each[y.where(y != self.ignored, 0)])

    def counted(self, y: Tensor) -> Tensor:
        """Return what each sample counts in a mean, (B,): its positions, or the weights of its classes."""
        if self.soft:
            return torch.full((len(y),), float(self.layout.positions), dtype=torch.float64)
        y = y.reshape(len(y), self.layout.positions)
        if self.weights is None:
            return (y != self.ignored).double().sum(1)
        w = self.weights.to(y.device, torch.float64)
        return torch.where(y == self.ignored, 0.0, w[y.where(y != self.ignored, 0)]).sum(1)

    def _roots(self, f: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return p and sqrt(A p), (B, T, C) each, where A = sum_c a_c."""
        p = self.layout.scores(f).softmax(2)
        return p, (self.mass(y, f.dtype)[:, :, None] * p).sqrt()

    def factor(self, f: Tensor, y: Tensor) -> Tensor:
        """Return the columns sqrt(A p_k) (e_k - p): A sum_k p_k (e_k - p)(e_k - p)' = A (diag p - pp')."""
        p, root = self._roots(f, y)
        return self.layout.block_diagonal(torch.diag_embed(root) - p[..., :, None] * root[..., None, :])

    def mixed(self, f: Tensor, y: Tensor, s: Tensor) -> Tensor:
        """Return F s without writing the factor out, its columns in the order of the outputs."""
        p, root = self._roots(f, y)
        columns = root * self.layout.scores(s)
        return self.layout.flat(columns - p * columns.sum(2, keepdim=True))

    def bend(self, f: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Return F F'v without writing the factor out."""
        p, root = self._roots(f, y)
        v = self.layout.scores(v)
        inner = root * (v - (p * v).sum(2, keepdim=True))
        return self.layout.flat(root * inner - p * (root * inner).sum(2, keepdim=True))

    def second(self, f: Tensor, y: Tensor) -> Tensor:
        """Return the second largest probability of each sample, (B,), the largest over the positions that count."""
        runner_up = self.layout.scores(f).softmax(2).topk(2, dim=2).values[..., 1]
        return torch.where(self.mass(y, f.dtype) > 0, runner_up, 0.0).amax(1)


def _log_probabilities(name: str, layout: Layout) -> Callable[[Tensor], None]:
    def check(f: Tensor) -> None:
        total = layout.scores(f).logsumexp(2)
        off = float(total.abs().max())
        if not off <= NORMALISED:
            raise Misuse(
                f"{name} takes log-probabilities, and the outputs of the model are none: the probabilities of a sample "
                f"sum to exp({float(total.flatten()[total.abs().argmax()]):.3g}); use cross_entropy, which takes the "
                f"softmax itself, or end the model with nn.LogSoftmax"
            )

    return check
