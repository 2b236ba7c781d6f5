"""How sure a classifier is of every sample: what is left to bend once a softmax saturates."""

import torch

from scalecurv.curvature.problem import Problem


def runner_up(problem: Problem) -> float:
    """The largest probability, over all samples, of any class but a sample's first; in 0 .. 1/2."""
    most = 0.0
    with torch.no_grad():
        for batch in problem.own_batches():
            p = problem.outputs(problem.theta, batch.x).softmax(1)
            most = max(most, float(p.topk(2, dim=1).values[:, 1].max()))
    return problem.shard.largest(most, problem.device)
