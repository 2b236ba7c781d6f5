"""Losses as people train them: outputs and targets of every shape, and the value that torch's own functions give."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = {"N": 4, "C": 3, "V": 3, "D": 3, "T": 2, "H": 2, "W": 2, "1": 1}  # T is not V: then the class axis is told
WEIGHT = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
Sum = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) of all data -> the sum that the mean is taken of


@dataclass(frozen=True)
class Trained:
    """A loss by the name that `--loss` takes, shapes as letters, and the sum whose mean over `mean` it is."""

    loss: str
    outputs: str
    targets: str
    mean: str
    total: Sum

    def model(self) -> nn.Module:
        """Return a small network whose outputs have this shape."""
        shape, last = sizes(self.outputs)[1:], LAST.get(self.outputs.partition(") ")[2], [])
        size = torch.Size(shape).numel()
        end = [nn.Unflatten(1, shape)] if len(shape) > 1 else [] if shape else [nn.Flatten(0)]
        return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, size), *end, *last).double()

    def data(self) -> tuple[Tensor, Tensor]:
        """Return inputs, and targets of this kind."""
        shape, _, kind = self.targets.partition(") ")
        return torch.randn(SIZES["N"], 2, dtype=torch.float64), KINDS[kind](sizes(shape + ")"))


def sizes(text: str) -> tuple[int, ...]:
    """Return the shape that "(N, T, V) and more" writes in letters."""
    return tuple(SIZES[letter] for letter in text[1 : text.index(")")].replace(",", " ").split())


def _some_ignored(shape: tuple[int, ...]) -> Tensor:
    y = torch.randint(0, 3, shape)
    y.view(-1)[::3] = -100
    return y


LAST: dict[str, list[nn.Module]] = {"log-probabilities": [nn.LogSoftmax(1)], "probabilities": [nn.Sigmoid()]}
KINDS: dict[str, Callable[[tuple[int, ...]], Tensor]] = {
    "classes": lambda shape: torch.randint(0, 3, shape),
    "classes, -100": _some_ignored,
    "probabilities": lambda shape: torch.randn(shape, dtype=torch.float64).softmax(1),
    "numbers": lambda shape: torch.randn(shape, dtype=torch.float64),
    "0 or 1": lambda shape: torch.randint(0, 2, shape).double(),
    "-1 or 1": lambda shape: torch.randint(0, 2, shape).double() * 2 - 1,
    "counts": lambda shape: torch.randint(0, 5, shape).double(),
}
MEANS: dict[str, Callable[[Tensor, Tensor], Tensor | int]] = {
    "samples": lambda f, y: len(f),
    "samples and outputs": lambda f, y: f.numel(),
    "positions": lambda f, y: y.numel(),
    "positions that count": lambda f, y: (y >= 0).sum(),
    "the weights of the targets": lambda f, y: WEIGHT[y].sum(),
}


def entropy(axis: int = 1, **options: object) -> Sum:
    """Return the sum of cross entropies with the classes along an axis."""
    return lambda f, y: F.cross_entropy(f.movedim(axis, 1), y, reduction="sum", **options)


def summed(function: Callable[..., Tensor], **options: object) -> Sum:
    """Return one of torch's functions with reduction="sum"."""
    return lambda f, y: function(f, y, reduction="sum", **options)


def half_square(f: Tensor, y: Tensor) -> Tensor:
    """Return |f - y|^2 / 2, summed over all."""
    return (f - y).pow(2).sum() / 2


def against_one_hot(f: Tensor, y: Tensor) -> Tensor:
    """Return |f - e_y|^2 / 2, summed over all."""
    return half_square(f, F.one_hot(y, 3).double())


def log_likelihood(f: Tensor, y: Tensor) -> Tensor:
    """Return -sum log p_y of outputs that are log-probabilities."""
    return F.nll_loss(f, y, reduction="sum")


def margins(f: Tensor, y: Tensor) -> Tensor:
    """Return the sum over classes j other than y of max(0, 1 - f_y + f_j) / C, which torch differentiates only once."""
    short = (1 - f.gather(1, y[:, None]) + f).clamp(min=0)
    return (short.sum() - len(f)) / f.shape[1]


BINARY = F.binary_cross_entropy_with_logits
NAMED = [
    Trained("cross_entropy", "(N, C)", "(N,) classes", "samples", entropy()),
    Trained("cross_entropy", "(N, C)", "(N, C) probabilities", "samples", entropy()),
    Trained("cross_entropy", "(N, T, V)", "(N, T) classes", "positions", entropy(-1)),
    Trained("cross_entropy", "(N, T, V)", "(N, T) classes, -100", "positions that count", entropy(-1)),
    Trained("cross_entropy", "(N, V, T)", "(N, T) classes, -100", "positions that count", entropy()),
    Trained("cross_entropy", "(N, C, H, W)", "(N, H, W) classes", "positions", entropy()),
    Trained("cross_entropy", "(N, H, W, C)", "(N, H, W) classes", "positions", entropy(-1)),
    Trained(
        "cross_entropy(weight=[1, 2, 0.5])",
        "(N, C)",
        "(N,) classes",
        "the weights of the targets",
        entropy(weight=WEIGHT),
    ),
    Trained("cross_entropy(label_smoothing=0.1)", "(N, C)", "(N,) classes", "samples", entropy(label_smoothing=0.1)),
    Trained("nll", "(N, C) log-probabilities", "(N,) classes", "samples", log_likelihood),
    Trained("logistic", "(N,)", "(N,) 0 or 1", "samples", summed(BINARY)),
    Trained("logistic", "(N, 1)", "(N, 1) 0 or 1", "samples", summed(BINARY)),
    Trained("logistic", "(N, D)", "(N, D) 0 or 1", "samples", summed(BINARY)),
    Trained(
        "logistic(pos_weight=[1, 2, 0.5])", "(N, D)", "(N, D) 0 or 1", "samples", summed(BINARY, pos_weight=WEIGHT)
    ),
    Trained("mse", "(N, D)", "(N, D) numbers", "samples", half_square),
    Trained("mse", "(N, D)", "(N,) classes", "samples", against_one_hot),
    Trained("mse", "(N,)", "(N,) numbers", "samples", half_square),
    Trained("mse", "(N, C, H, W)", "(N, C, H, W) numbers", "samples", half_square),
    Trained("huber(delta=0.5)", "(N, D)", "(N, D) numbers", "samples", summed(F.huber_loss, delta=0.5)),
    Trained("smooth_l1", "(N, D)", "(N, D) numbers", "samples", summed(F.smooth_l1_loss)),
    Trained("poisson", "(N, D)", "(N, D) counts", "samples", summed(F.poisson_nll_loss)),
]
MODULES = [
    Trained("CrossEntropyLoss", "(N, C)", "(N,) classes", "samples", entropy()),
    Trained("CrossEntropyLoss", "(N, V, T)", "(N, T) classes, -100", "positions that count", entropy()),
    Trained("NLLLoss", "(N, C) log-probabilities", "(N,) classes", "samples", log_likelihood),
    Trained("BCEWithLogitsLoss", "(N, D)", "(N, D) 0 or 1", "samples and outputs", summed(BINARY)),
    Trained("BCELoss", "(N, D) probabilities", "(N, D) 0 or 1", "samples and outputs", summed(F.binary_cross_entropy)),
    Trained("MSELoss", "(N, D)", "(N, D) numbers", "samples and outputs", summed(F.mse_loss)),
    Trained("L1Loss", "(N, D)", "(N, D) numbers", "samples and outputs", summed(F.l1_loss)),
    Trained("SmoothL1Loss", "(N, D)", "(N, D) numbers", "samples and outputs", summed(F.smooth_l1_loss)),
    Trained("HuberLoss(delta=0.5)", "(N, D)", "(N, D) numbers", "samples and outputs", summed(F.huber_loss, delta=0.5)),
    Trained("PoissonNLLLoss", "(N, D)", "(N, D) counts", "samples and outputs", summed(F.poisson_nll_loss)),
    Trained("KLDivLoss(reduction='batchmean')", "(N, C) log-probabilities", "(N, C) probabilities", "samples",
            summed(F.kl_div)),
    Trained("SoftMarginLoss", "(N, D)", "(N, D) -1 or 1", "samples and outputs", summed(F.soft_margin_loss)),
    Trained("MultiMarginLoss", "(N, C)", "(N,) classes", "samples", margins),
    Trained("MultiLabelSoftMarginLoss", "(N, D)", "(N, D) 0 or 1", "samples", summed(F.multilabel_soft_margin_loss)),
]  # fmt: skip
