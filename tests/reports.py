"""What people reported that they could not analyse, rebuilt small: model, data, loss, and the loss in plain torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, StackDataset, TensorDataset

RNG = torch.Generator().manual_seed(1)


def floats(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=RNG)


def whole(top: int, *shape: int) -> Tensor:
    return torch.randint(0, top, shape, generator=RNG)


class Reader(nn.Module):
    """A classifier of texts: the mean of the tokens that the mask shows; it returns an object, as transformers does."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 3), nn.Linear(3, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        shown = attention_mask[..., None]
        pooled = (self.embed(input_ids) * shown).sum(1) / shown.sum(1)
        return {"pooled": pooled, "logits": self.head(torch.tanh(pooled))}


class Language(nn.Module):
    """Logits (N, T, V) of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(6, 3), nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(x)))


class Two(nn.Module):
    """Two inputs of the same width."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.head(torch.tanh(self.a(x) + self.b(z)))


class Squeezed(nn.Module):
    """A regressor whose outputs have lost their column."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze()


def net(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))


def focal(f: Tensor, y: Tensor) -> Tensor:
    """A loss of one's own, one column (B, 1)."""
    nll = F.cross_entropy(f, y, reduction="none")[:, None]
    return (1 - (-nll).exp()) ** 2 * nll


@dataclass(frozen=True)
class Report:
    """`truth(model)` is the loss in plain torch; `named` is the loss for --loss, where that is another text."""

    model: Callable[[], nn.Module]
    data: Callable[[], Any]
    loss: Any
    truth: Callable[[nn.Module], Tensor]
    named: str | None = None


X, Y = floats(8, 3), whole(2, 8)
A, B = floats(2, 3), floats(2, 3)  # two samples of two inputs
TOKENS, NEXT = whole(6, 5, 4), whole(6, 5, 4)
NEXT[:, 0] = -100
IDS, MASK = whole(7, 8, 4), whole(2, 8, 4)
MASK[:, 0] = 1
PIXELS, MAP = floats(3, 1, 4, 4), whole(3, 3, 4, 4)
LABELS, WEIGHT = whole(2, 8, 3).double(), torch.tensor([1.0, 4.0, 2.0])  # float32, as modules hold them
ENTROPY = nn.CrossEntropyLoss(weight=WEIGHT[:2], label_smoothing=0.1)
BINARY = nn.BCEWithLogitsLoss(pos_weight=WEIGHT)
REPORTS: dict[str, Report] = {
    "a DataLoader": Report(
        lambda: net(2),
        lambda: DataLoader(TensorDataset(X, Y), 3),
        "cross_entropy",
        lambda m: F.cross_entropy(m(X), Y),
    ),
    "a list of batches": Report(
        lambda: net(2),
        lambda: [(X[:4], Y[:4]), (X[4:], Y[4:])],
        "cross_entropy",
        lambda m: F.cross_entropy(m(X), Y),
    ),
    "two inputs of two samples, which could be stacked": Report(
        Two, lambda: ((A, B), Y[:2]), "cross_entropy", lambda m: F.cross_entropy(m(A, B), Y[:2])
    ),
    "batches of a tokenizer, an output object": Report(
        Reader,
        lambda: DataLoader(StackDataset(input_ids=IDS, attention_mask=MASK, labels=Y), 3),
        "cross_entropy",
        lambda m: F.cross_entropy(m(IDS, MASK)["logits"], Y),
    ),
    "token numbers (N,)": Report(
        lambda: nn.Embedding(6, 6),
        lambda: (TOKENS[:, 0], TOKENS[:, 1]),
        "cross_entropy",
        lambda m: F.cross_entropy(m(TOKENS[:, 0]), TOKENS[:, 1]),
    ),
    "logits (N, T, V), some targets -100": Report(
        Language,
        lambda: (TOKENS, NEXT),
        "cross_entropy",
        lambda m: F.cross_entropy(m(TOKENS).flatten(0, 1), NEXT.flatten()),
    ),
    "a map of classes for each image": Report(
        lambda: nn.Conv2d(1, 3, 3, padding=1),
        lambda: (PIXELS, MAP),
        "cross_entropy",
        lambda m: F.cross_entropy(m(PIXELS), MAP),
    ),
    "several yes/no labels": Report(
        lambda: net(3),
        lambda: (X, LABELS),
        "logistic",
        lambda m: F.binary_cross_entropy_with_logits(m(X), LABELS, reduction="sum") / 8,
    ),
    "BCEWithLogitsLoss with float32 weights": Report(
        lambda: net(3),
        lambda: (X, LABELS),
        BINARY,
        lambda m: F.binary_cross_entropy_with_logits(m(X), LABELS, pos_weight=WEIGHT.double()),
        "BCEWithLogitsLoss(pos_weight=[1, 4, 2])",
    ),
    "one column of labels": Report(
        lambda: net(1),
        lambda: (X, LABELS[:, :1]),
        nn.BCEWithLogitsLoss(reduction="none"),
        lambda m: F.binary_cross_entropy_with_logits(m(X), LABELS[:, :1]),
        "BCEWithLogitsLoss(reduction='none')",
    ),
    "class weights and label smoothing": Report(
        lambda: net(2),
        lambda: (X, Y),
        ENTROPY,
        lambda m: F.cross_entropy(m(X), Y, WEIGHT[:2].double(), label_smoothing=0.1),
        "CrossEntropyLoss(weight=[1, 4], label_smoothing=0.1)",
    ),
    "a regressor that squeezes": Report(Squeezed, lambda: (X, X[:, 0]), "MSELoss", lambda m: F.mse_loss(m(X), X[:, 0])),
    "a loss of one's own, (B, 1)": Report(
        lambda: net(2), lambda: (X, Y), focal, lambda m: focal(m(X), Y).mean(), "reports_here:focal"
    ),
}
