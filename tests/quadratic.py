"""A loss whose Hessian and gradient are prescribed: the way to put any spectrum behind a Problem."""

import numpy as np
import torch
from torch import Tensor, nn

from scalecurv.problem.loss import Loss
from scalecurv.problem.problem import Problem

QUADRATIC = Loss("quadratic", lambda f, y: f.sum(), lambda y: y)


class Quadratic(nn.Module):
    """theta -> theta'A theta / 2 + g'theta at theta = 0, for A (P, P) symmetric and g (P,), whatever the input."""

    def __init__(self, A: Tensor, g: Tensor):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros_like(g))
        self.register_buffer("A", A)
        self.register_buffer("g", g)

    def forward(self, x: Tensor) -> Tensor:
        return (self.theta @ (self.A @ self.theta) / 2 + self.g @ self.theta).expand(len(x), 1)


def quadratic(A: Tensor, g: Tensor) -> Problem:
    """The problem with Hessian A and gradient g, by a loss of no known structure."""
    return Problem(Quadratic(A, g), (np.zeros((1, 1)), np.zeros(1)), QUADRATIC)
