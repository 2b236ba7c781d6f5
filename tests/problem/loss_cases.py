"""Losses as people train: criteria, outputs, targets, and torch's own function of both with its mean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalecurv.problem.loss import Criterion, Loss
from scalecurv.problem.losses import loss_of

N = 5
WEIGHTS = [1.0, 3.0, 0.5]
W = torch.tensor(WEIGHTS, dtype=torch.float64)
POSITIVE = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
Reference = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A loss on outputs (N, *shape) and targets y; `mean` is torch's function of outputs as the model returns them."""

    name: str
    criterion: Criterion
    f: Tensor
    y: Tensor
    mean: Reference

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.f.shape[1:])

    @property
    def loss(self) -> Loss:
        return self.criterion.on(self.shape, self.y)

    @property
    def rows(self) -> Tensor:
        return self.f.reshape(N, -1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(num_classes: int, *shape: int, ignored: int | None = None, seed: int = 1) -> Tensor:
    """Return classes (N, *shape), a third of which is `ignored`."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(num_classes, (N, *shape), generator=rng)
    return y if ignored is None else torch.where(torch.rand(y.shape, generator=rng) < 0.35, ignored, y)


def soft(*shape: int, axis: int = 1) -> Tensor:
    return normal(*shape, seed=2).softmax(axis)


def swapped(function: Reference) -> Reference:
    """Return the function for outputs whose classes are on the last axis."""
    return lambda f, y: function(f.movedim(-1, 1), y.movedim(-1, 1) if y.is_floating_point() else y)


def summed(function: Callable[..., Tensor], **options: Any) -> Reference:
    """Return the sum over the outputs of a sample, the mean over samples."""
    return lambda f, y: function(f, y.reshape(f.shape).to(f.dtype), reduction="sum", **options) / len(f)


CE = F.cross_entropy


def of_classes() -> Iterator[tuple[Any, Tensor, Tensor, Reference]]:
    yield "cross_entropy", normal(3), drawn(3), CE
    yield "cross_entropy", normal(3), soft(3), CE
    tokens = drawn(3, 4, ignored=-100)
    yield "cross_entropy", normal(4, 3), tokens, swapped(CE)
    yield "cross_entropy", normal(3, 4), tokens, CE
    yield "cross_entropy", normal(3, 2, 4), drawn(3, 2, 4), CE
    yield "cross_entropy", normal(2, 4, 3), drawn(3, 2, 4, ignored=-100), swapped(CE)
    yield "cross_entropy", normal(4, 3), soft(4, 3, axis=2), swapped(CE)
    yield "cross_entropy(axis=1)", normal(3, 3), drawn(3, 3), CE
    yield "cross_entropy(axis=-1)", normal(3, 3), drawn(3, 3), swapped(CE)
    yield "cross_entropy(axis=2)", normal(3, 3), soft(3, 3, axis=2), swapped(CE)
    yield "cross_entropy(ignore_index=0)", normal(3, 4), drawn(3, 4), partial(CE, ignore_index=0)
    for y, ignored in ((drawn(3, ignored=-1), -1), (soft(3), -1)):
        options = {"weight": W, "label_smoothing": 0.2, "ignore_index": ignored}
        text = f"cross_entropy(weight={WEIGHTS}, label_smoothing=0.2, ignore_index={ignored})"
        yield text, normal(3), y, partial(CE, **options)
        yield nn.CrossEntropyLoss(**options), normal(3), y, partial(CE, **options)
    yield "CrossEntropyLoss(weight=[1, 3, 0.5])", normal(4, 3), tokens, swapped(partial(CE, weight=W))
    each = nn.CrossEntropyLoss(weight=W, reduction="none")
    yield each, normal(3, 4), tokens, lambda f, y: CE(f, y, weight=W, reduction="sum") / N
    yield nn.CrossEntropyLoss(label_smoothing=0.1), normal(3, 3), drawn(3, 3), partial(CE, label_smoothing=0.1)
    yield F.cross_entropy, normal(3), drawn(3), CE
    logs = normal(3, 4).log_softmax(1)
    for given in ("nll", nn.NLLLoss()):
        yield given, logs, drawn(3, 4, ignored=-100), CE  # the same where outputs are log-probabilities
    yield "nll(weight=[1, 3, 0.5])", normal(3).log_softmax(1), drawn(3), partial(CE, weight=W)


def of_entries() -> Iterator[tuple[Any, Tensor, Tensor, Reference]]:
    bce, labels = F.binary_cross_entropy_with_logits, drawn(2, 3)
    yield "logistic", normal(), drawn(2), summed(bce)
    yield "logistic", normal(1), drawn(2), summed(bce)
    yield "logistic", normal(3), labels, summed(bce)
    yield "logistic", normal(1, 2, 2), drawn(2, 2, 2), summed(bce)
    yield "logistic", normal(2, 3), normal(2, 3).sigmoid(), summed(bce)
    text = f"logistic(weight={WEIGHTS}, pos_weight=[2, 0.5, 1])"
    yield text, normal(3), labels, summed(bce, weight=W, pos_weight=POSITIVE)
    yield "BCEWithLogitsLoss", normal(3), labels.double(), bce
    options = {"weight": W, "pos_weight": POSITIVE}
    yield nn.BCEWithLogitsLoss(**options), normal(3), labels.double(), partial(bce, **options)
    yield nn.BCEWithLogitsLoss(reduction="none"), normal(3), labels, summed(bce)
    real, counts = normal(2, 2, seed=3), drawn(6, 2, 2).double()
    yield "mse", normal(2, 2), real, lambda f, y: F.mse_loss(f, y, reduction="sum") / (2 * N)
    yield "mse", normal(3), drawn(3), lambda f, y: F.mse_loss(f, F.one_hot(y).double(), reduction="sum") / (2 * N)
    yield nn.MSELoss(), normal(2, 2), real, F.mse_loss
    yield "MSELoss()", normal(), normal(seed=4), F.mse_loss
    yield "l1", normal(2, 2), real, summed(F.l1_loss)
    yield nn.L1Loss(), normal(2, 2), real, F.l1_loss
    yield "huber(delta=0.7)", normal(2, 2), real, summed(F.huber_loss, delta=0.7)
    yield nn.HuberLoss(delta=0.7), normal(2, 2), real, partial(F.huber_loss, delta=0.7)
    yield "smooth_l1(beta=0.7)", normal(2, 2), real, summed(F.smooth_l1_loss, beta=0.7)
    yield "SmoothL1Loss(beta=0)", normal(2, 2), real, partial(F.smooth_l1_loss, beta=0.0)
    yield "poisson", normal(2, 2), counts, summed(F.poisson_nll_loss)
    rates = normal(2, 2).exp()
    yield "poisson(log_input=False)", rates, counts, summed(F.poisson_nll_loss, log_input=False)
    yield nn.PoissonNLLLoss(full=True), normal(2, 2), counts, partial(F.poisson_nll_loss, full=True)


def of_others() -> Iterator[tuple[Any, Tensor, Tensor, Reference]]:
    """Losses whose second derivative only autograd knows."""
    signs = 2 * drawn(2, 3).double() - 1
    yield nn.BCELoss(), normal(3).sigmoid(), drawn(2, 3).double(), F.binary_cross_entropy
    yield nn.BCELoss(weight=W), normal(3).sigmoid(), drawn(2, 3).double(), partial(F.binary_cross_entropy, weight=W)
    kl, logs = partial(F.kl_div, reduction="batchmean"), normal(3).log_softmax(1)
    yield nn.KLDivLoss(reduction="batchmean"), logs, soft(3), kl
    yield nn.KLDivLoss(log_target=True), logs, soft(3).log(), lambda f, y: kl(f, y.exp()) / 3
    yield nn.SoftMarginLoss(), normal(3), signs, F.soft_margin_loss
    yield nn.HingeEmbeddingLoss(margin=0.5), normal(3), signs, partial(F.hinge_embedding_loss, margin=0.5)
    soft_margins = partial(F.multilabel_soft_margin_loss, weight=W)
    yield nn.MultiLabelSoftMarginLoss(weight=W), normal(3), drawn(2, 3), soft_margins
    yield nn.MultiMarginLoss(p=2), normal(3), drawn(3), partial(F.multi_margin_loss, p=2)
    yield nn.MultiLabelMarginLoss(), normal(3), torch.tensor([[0, 2, -1]] * N), F.multilabel_margin_loss


def cases(*families: Callable[[], Iterator[Any]]) -> list[Case]:
    found = []
    for family in families or (of_classes, of_entries, of_others):
        for given, f, y, mean in family():
            criterion = loss_of(given)
            called = f"{criterion.name} of {tuple(f.shape)}, {tuple(y.shape)}"
            found.append(Case(called, criterion, f, y, mean))
    return found
