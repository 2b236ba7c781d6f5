"""The sum over data: contributions of mini-batches and of ranks are added here only."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scalecurv.problem.graphs import backend_of, batch_loss
from scalecurv.problem.problem import Problem
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch


def sum_over_data(problem: Problem, contribution: Callable[[Batch], Tensor]) -> Tensor:
    """Return sum_b contribution(b) over the mini-batches of all ranks, in float64 where there are two or more."""
    batches = problem.own_batches()
    total, alone = contribution(next(batches)), True
    for batch in batches:
        if alone:  # a copy, as a contribution may be remembered
            total, alone = total.to(torch.float64, copy=True), False
        total += contribution(batch)
    return problem.shard.add(total)


def loss_and_gradient(problem: Problem, contribution: Callable[[Batch], Tensor] | None = None) -> tuple[float, Tensor]:
    """Return L and g = grad L (P,) in the problem's dtype; weight decay is added once, not by every batch.

    `contribution(batch)` returns the gradient of c times the loss of a batch and then that value, (P + 1,); by default
    autograd takes them.
    """

    def by_graph(batch: Batch) -> Tensor:
        with quoted(problem.model, "the gradient"):
            gradient, value = backend_of(problem).gradient(batch_loss(problem, batch), problem.theta)
        return torch.cat([gradient, value[None]])  # one vector, so that one sum adds both

    total = sum_over_data(problem, contribution or by_graph)
    if not problem.weight_decay:
        return float(total[-1]), total[:-1].to(problem.dtype)
    value, slope = problem.penalty()
    return float(total[-1]) + value, (total[:-1] + slope).to(problem.dtype)


def losses_at(problem: Problem, points: Sequence[Tensor]) -> Tensor:
    """Return L at each of several parameter vectors, (P,) each, weight decay included; shape (k,) in float64.

    All of them are evaluated in one run through the data. A loss that overflows is infinite or NaN.
    """

    def contribution(batch: Batch) -> Tensor:
        loss = batch_loss(problem, batch)
        with torch.no_grad(), quoted(problem.model, "the loss at parameters beside theta"):
            return torch.stack([loss(point) for point in points]).double()

    total = sum_over_data(problem, contribution)
    if not problem.weight_decay:
        return total
    moved = [float(((point - problem.theta).double() * (point + problem.theta).double()).sum()) for point in points]
    return total + problem.penalty()[0] + problem.weight_decay / 2 * total.new_tensor(moved)


def gradient_at(problem: Problem, point: Tensor) -> Tensor:
    """Return grad L at another parameter vector, (P,) both, by autograd, weight decay included."""

    def contribution(batch: Batch) -> Tensor:
        with quoted(problem.model, "the gradient at parameters beside theta"):
            return backend_of(problem).gradient(batch_loss(problem, batch), point)[0]

    return (sum_over_data(problem, contribution) + problem.weight_decay * point).to(problem.dtype)
