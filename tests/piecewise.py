"""Piecewise-linear MLPs of all shapes that the formulas by layers cover, and the dense truth about each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP
from tests.dense import Dense, dense

NUM_DATA, STEPS, RATE = 7, 8, 0.1
LOSSES = ("mse", "cross_entropy", "soft")  # soft: cross entropy against class probabilities


@dataclass(frozen=True)
class Shape:
    """An MLP: widths n_0 .. n_L, the L - 1 activations between the layers, and the layers that have a bias."""

    widths: tuple[int, ...]
    activations: tuple[Callable[[], nn.Module], ...] = ()
    biases: tuple[bool, ...] = ()

    def build(self) -> nn.Sequential:
        biases = self.biases or (True,) * (len(self.widths) - 1)
        linears = [nn.Linear(n, m, b) for (n, m), b in zip(pairwise(self.widths), biases, strict=True)]
        pairs = zip(linears[1:], self.activations, strict=True)
        return nn.Sequential(linears[0], *(module for linear, phi in pairs for module in (phi(), linear)))


LEAKY, CLIP = partial(nn.LeakyReLU, 0.3), partial(nn.Hardtanh, -0.4, 0.6)
SHAPES = {
    "one layer": Shape((4, 3)),
    "one layer, no bias": Shape((4, 3), (), (False,)),
    "one output": Shape((5, 4, 1), (nn.ReLU,)),
    "wide": Shape((3, 11, 2), (CLIP,)),
    "two hidden": Shape((6, 5, 4, 3), (nn.ReLU, nn.ReLU)),
    "no biases": Shape((3, 5, 4, 2), (LEAKY, nn.ReLU), (False,) * 3),
    "some biases": Shape((4, 5, 3, 2), (nn.ReLU, LEAKY), (False, True, False)),
    "deep": Shape((3, 4, 2, 5, 3, 2), (LEAKY, CLIP, nn.ReLU, LEAKY)),
    "other kinks": Shape((4, 5, 4, 5, 2), (nn.ReLU6, partial(nn.Softshrink, 0.1), partial(nn.Threshold, -0.2, 0.1))),
}


@dataclass(frozen=True)
class Case:
    shape: str
    loss: str
    reduction: str = "mean"
    trained: bool = False

    def __str__(self) -> str:
        return f"{self.shape}-{self.loss}-{self.reduction}-{'trained' if self.trained else 'random'}"


KINDS = (("mean", False), ("mean", True), ("sum", False))  # a sum is a factor apart: random weights will do


def covering(shapes: Iterable[str], kinds: Sequence[tuple[str, bool]] = KINDS) -> list[Case]:
    """Return cases in which any two of shape, loss and kind meet, wherever there are at least as many losses as kinds.

    Each shape has every loss once, the kinds in turn; the one output, which has no cross entropy, has every kind.
    """
    cases = []
    for i, shape in enumerate(shapes):
        if shape == "one output":
            cases += [Case(shape, "mse", *kind) for kind in kinds]
        else:
            cases += [Case(shape, loss, *kinds[(i + j) % len(kinds)]) for j, loss in enumerate(LOSSES)]
    return cases


CASES = covering(SHAPES)
MEANS = covering(SHAPES, KINDS[:2])


def homogeneous(*shapes: str) -> list[Case]:
    """Return cases of these shapes, positively homogeneous between any two layers, random and trained in turn."""
    return covering(shapes, KINDS[:2])


def data(shape: str, loss: str, num_data: int = NUM_DATA) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    widths = SHAPES[shape].widths
    x = torch.randn(num_data, widths[0], generator=rng, dtype=torch.float64)
    y = 2 * torch.randn(num_data, widths[-1], generator=rng, dtype=torch.float64)
    return x, {"mse": y, "cross_entropy": y.argmax(1), "soft": y.softmax(1)}[loss]


@cache
def network(shape: str, loss: str, trained: bool = False) -> nn.Sequential:
    """Return a network that reaches both sides of every kink, `trained` by some steps of SGD with batches of 3."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = SHAPES[shape].build().double()
    with torch.no_grad():
        for p in model.parameters():
            p *= 2
    x, y = data(shape, loss)
    criterion = nn.MSELoss() if loss == "mse" else nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for step in range(STEPS if trained else 0):
        rows = torch.arange(3 * step, 3 * step + 3) % len(x)
        optimizer.zero_grad()
        criterion(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model


def named(loss: str) -> str:
    return "mse" if loss == "mse" else "cross_entropy"


def opened(case: Case, **options: object) -> tuple[Problem, MLP]:
    """Return the problem of a case and the structure found in it."""
    model, sample = network(case.shape, case.loss, case.trained), data(case.shape, case.loss)
    return laid_open(Problem(model, sample, named(case.loss), reduction=case.reduction, **options))


def laid_open(problem: Problem) -> tuple[Problem, MLP]:
    mlp = structure_of(problem)
    assert mlp is not None
    return problem, mlp


@cache
def truth(case: Case) -> Dense:
    model = network(case.shape, case.loss, case.trained)
    return dense(model, *data(case.shape, case.loss), named(case.loss), case.reduction)


def layer_slices(problem: Problem, mlp: MLP) -> list[slice]:
    """Return the place in theta of the weights and the bias of each layer."""
    starts = [problem.space.slices[f"{name}.weight"].start for name in mlp.layers]
    return [slice(*ends) for ends in pairwise([*starts, problem.num_params])]


def blocks(matrix: Tensor, slices: list[slice]) -> list[list[Tensor]]:
    return [[matrix[rows, columns] for columns in slices] for rows in slices]


def close(actual: object, expected: object, size: float | None = None) -> None:
    """Assert equality to 1e-12 of `size`, by default the largest expected entry."""
    actual, expected = (torch.as_tensor(t, dtype=torch.float64) for t in (actual, expected))
    size = float(expected.abs().max()) if size is None else size
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12 * size)
