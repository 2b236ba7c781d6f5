"""How sure a classifier is of every sample: what is left to bend once a softmax saturates."""

import torch

from scalecurv.curvature.problem import Problem


def runner_up(problem: Problem) -> float:
    """The largest probability, over all samples, of any class but a sample's first; in 0 .. 1/2.

    Raises ValueError for a loss that knows no classes.
    """
    second = problem.loss.second
    if second is None:
        raise ValueError(f"{problem.loss.name} knows no classes")
    most = 0.0
    with torch.no_grad():
        for batch in problem.own_batches():
            most = max(most, float(second(problem.outputs(problem.theta, batch.x)).detach().max()))
    return problem.shard.largest(most, problem.device)
