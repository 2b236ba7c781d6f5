"""The samples that the rank is computed from: all of them, or a seeded draw whose memory and work are bounded."""

import math
from collections.abc import Callable

import torch

from scalecurv.linalg.probes import generator
from scalecurv.mlp.layers import OpenBatch, open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP

WHOLE = 20_000  # rows of J up to which all samples are taken, where they fit into the memory
GRADIENTS = 2  # work of one part, elimination or profile, in gradients of the loss over the data
FLOOR = 2e11  # operations that a part may always take: some seconds
STREAM = "rank samples"


def allowed_work(problem: Problem, num_outputs: int, room: int, samples: int | None) -> float:
    """Return the floating-point operations that one part of the measure may take.

    They are GRADIENTS times the 6 N P operations of a gradient, and FLOOR at least. They are not limited where the
    number of `samples` is given, nor for at most WHOLE rows where the memory has `room` for all samples: a draw gives
    lower bounds only, which are not worth minutes. It is a rule on sizes, so that every run takes the same samples.
    """
    if samples is not None or (problem.num_data * num_outputs <= WHOLE and room >= problem.num_data):
        return math.inf
    return max(FLOOR, GRADIENTS * 6.0 * problem.num_data * problem.num_params)


def most_samples(num_data: int, cost: Callable[[int], float], limit: float) -> int:
    """Return the largest count from 1 to `num_data` with cost(count) <= limit, where costs increase; 1 where none has.

    Example:
        >>> most_samples(100, lambda count: count**2, 50)
        7
    """
    low, high = 1, num_data
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(middle) <= limit else (low, middle - 1)
    return low


def opened_sample(problem: Problem, mlp: MLP, count: int, seed: int) -> OpenBatch:
    """Return the activations of all samples, or of `count` drawn from the seed without replacement.

    Samples of a smaller draw are the first of a larger one.
    """
    if count >= problem.num_data:
        return open_batch(problem, mlp, problem.whole)
    drawn = torch.from_numpy(generator(seed, STREAM, 0).permutation(problem.num_data)[:count]).to(problem.device)
    return open_batch(problem, mlp, problem.rows.take(drawn))


def share_of(count: int, num_data: int, room: int, asked: int | None = None) -> str:
    """Return what a method says of a sample: "" for all samples, else how many, and how to take more.

    `room` is the number of samples for which the memory is enough, `asked` that which was asked for.

    Example:
        >>> share_of(5, 5, 9), share_of(2, 5, 9), share_of(2, 5, 2)
        ('', ', 2 of 5 samples (--rank-samples takes more)', ', 2 of 5 samples (more --memory takes more)')
    """
    if count >= num_data:
        return ""
    more = " (more --memory takes more)" if count == room else " (--rank-samples takes more)"
    return f", {count} of {num_data} samples{'' if count == asked else more}"
