"""Small problems whose Hessian is nearly the Gauss-Newton matrix: targets close to the outputs."""

from functools import cache

import torch
from torch import Tensor

from scalecurv.problem.problem import Problem
from tests.dense import Dense, dense
from tests.networks import data, network


@cache
def inputs(num_data: int = 60) -> Tensor:
    """Return inputs whose sizes differ, so that samples differ in their share of tr G."""
    x, _ = data("mse", num_data=num_data)
    return x * torch.linspace(0.3, 1.5, num_data, dtype=torch.float64)[:, None]


def nearly_fitted(name: str, off: float = 0.1, **options: object) -> Problem:
    """Return a network with targets that are `off` from its outputs, in random directions, under mse."""
    model, x = network(name), inputs()
    _, noise = data("mse", num_data=len(x), seed=3)
    return Problem(model, (x, model(x).detach() + off * noise), "mse", **options)


@cache
def truth(name: str, off: float = 0.1, reduction: str = "mean") -> Dense:
    """Return the dense truth about `nearly_fitted(name, off, reduction=reduction)`."""
    point = nearly_fitted(name, off)
    return dense(point.model, point.x, point.y, "mse", reduction)
