"""A linear layer with an act of its own, random, batch-wise or harmless, and the Problem of it."""

import random
from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn

from scalecurv.problem.problem import Problem
from tests.networks import data


class Acting(nn.Module):
    """A linear layer whose outputs pass through `act`; the model is in eval mode."""

    def __init__(self, act: Callable[[Tensor], Tensor]):
        super().__init__()
        self.linear, self.act = nn.Linear(6, 3), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(x))


def at(act: Callable[[Tensor], Tensor], num_data: int = 7, **options: object) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Problem(Acting(act).double().eval(), data("mse", num_data=num_data), "mse", **options)


def consistently_shuffled(h: Tensor) -> Tensor:
    order = torch.randperm(len(h))
    return torch.tanh(h[order])[order.argsort()]


def drawn_in_vain(h: Tensor) -> Tensor:
    return h + 0 * torch.rand_like(h) + 0 * random.random() + 0 * np.random.rand()  # noqa: NPY002


def rounding(size: float) -> Callable[[Tensor], Tensor]:
    """Another change of this relative size each time, as threads that add up in another order make."""
    sign = count()
    return lambda h: h * (1 + size * (-1) ** next(sign))
