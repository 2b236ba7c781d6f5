"""The sum over data: contributions of mini-batches and of ranks are added here only."""

from collections.abc import Callable

import torch
from torch import Tensor

from scalecurv.problem.graphs import backend_of, batch_loss
from scalecurv.problem.problem import Problem
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch


def sum_over_data(problem: Problem, contribution: Callable[[Batch], Tensor]) -> Tensor:
    """Return sum_b contribution(b) over the mini-batches of all ranks, in float64 where there are two or more."""
    batches = problem.own_batches()
    total = contribution(next(batches))
    for batch in batches:
        total = total.double() + contribution(batch)
    return problem.shard.add(total)


def loss_and_gradient(problem: Problem) -> tuple[float, Tensor]:
    """Return L and g = grad L (P,) in the problem's dtype; weight decay is added once, not by every batch."""

    def contribution(batch: Batch) -> Tensor:
        with quoted(problem.model, "the gradient"):
            gradient, value = backend_of(problem).gradient(batch_loss(problem, batch), problem.theta)
        return torch.cat([gradient, value[None]])  # one vector, so that one sum adds both

    total = sum_over_data(problem, contribution)
    if not problem.weight_decay:
        return float(total[-1]), total[:-1].to(problem.dtype)
    value, slope = problem.penalty()
    return float(total[-1]) + value, (total[:-1] + slope).to(problem.dtype)
