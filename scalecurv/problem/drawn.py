"""Samples that are drawn from the whole data set, which every rank holds after a draw."""

from torch import Tensor, float64

from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import mapped


def drawn_samples(problem: Problem, numbers: Tensor) -> Batch:
    """Return the samples of these numbers in the whole data set, in this order; a number may come twice.

    Ranks send each other the samples that they hold, so that all return the same batch.
    """
    if problem.shard.size == 1:
        return problem.rows.take(numbers)
    places = numbers - problem.rows.start
    held = (places >= 0) & (places < len(problem.rows))
    own = problem.rows.take(places.clamp(0, len(problem.rows) - 1))

    def gathered(leaf: Tensor) -> Tensor:
        outside = ~held.to(leaf.device).view(-1, *(1,) * (leaf.ndim - 1))
        # in float64, which holds labels and numbers of words exactly
        return problem.shard.add(leaf.to(float64).masked_fill(outside, 0.0)).to(leaf.dtype)

    return Batch(mapped(gathered, own.x), mapped(gathered, own.y), 0)
