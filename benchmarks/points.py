"""Digits MLPs along training: the points at which errors and costs are measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from scalecurv.problem.problem import Problem
from tests.digits import digits

STEPS = {"init": 0, "early": 30, "trained": 1500}
LOSSES = ("mse", "cross_entropy")
RATES = {"mse": 0.1, "cross_entropy": 0.3}


@dataclass(frozen=True)
class Point:
    """A problem with the names that its row of a table carries."""

    net: str
    loss: str
    when: str
    problem: Problem


def points(widths: tuple[int, ...], num_data: int = 1797) -> Iterator[Point]:
    """One run for each loss, full-batch gradient descent in float64 from PyTorch's own initialisation, seed 0."""
    x, y = (torch.from_numpy(array) for array in digits(num_data))
    targets = functional.one_hot(y, widths[-1]).double()
    for loss in LOSSES:
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
        for before, after in pairwise(widths[1:]):
            layers += [nn.ReLU(), nn.Linear(before, after)]
        model = nn.Sequential(*layers).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATES[loss])
        done = 0
        for when, steps in STEPS.items():
            for _ in range(steps - done):
                optimizer.zero_grad()
                f = model(x)
                value = (
                    functional.cross_entropy(f, y)
                    if loss == "cross_entropy"
                    else ((f - targets) ** 2).sum() / 2 / len(x)
                )
                value.backward()
                optimizer.step()
            done = steps
            yield Point("-".join(map(str, widths)), loss, when, Problem(model, (x, y), loss))
