"""Where products with a perceptron's H, G and J are taken in closed form, and the passes that they share."""

import torch
from torch import Tensor

from scalecurv.linalg.probes import probes
from scalecurv.mlp.layers import listed_mlp
from scalecurv.mlp.passes import Pass, opened
from scalecurv.problem.graphs import hessian_product, linearized
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch

NAME = "closed form"  # in the provenance of a record
STREAM = "closed form"
SHARE = 4  # of `memory` that the passes of all mini-batches may keep


@remembered
def closed_form(problem: Problem) -> MLP | None:
    """Return the MLP whose products are taken in closed form, None where autograd takes them; remembered.

    The model must be the list of its layers, with all parameters free, and H v and J v of the first two samples must
    be those of autograd, to half of the digits.
    """
    mlp = listed_mlp(problem)
    if mlp is None:
        return None
    pair = Batch(problem.sample[:2], problem.sample_targets[:2], 0)  # the same on all ranks, which must agree
    v = probes(problem.num_params, 0, STREAM, [0], "gaussian", problem.dtype, problem.device)
    v = v * problem.theta.abs().mean()
    ours, side = opened(problem, mlp, pair), linearized(problem, pair)
    same = _alike(ours.push(v), side.push(v), problem) and _alike(
        ours.hessian(v), hessian_product(problem, pair)(v), problem
    )
    return mlp if same else None


def _alike(ours: Tensor, theirs: Tensor, problem: Problem) -> bool:
    margin = torch.finfo(problem.dtype).eps ** 0.5
    return bool(ours.isfinite().all()) and float((ours - theirs).norm()) <= margin * float(theirs.norm())


def pass_of(problem: Problem, mlp: MLP, batch: Batch) -> Pass:
    """Return the pass of a mini-batch, kept for later products where those of all mini-batches fit into the memory."""
    key = (pass_of, batch.start, len(batch.x))
    if key in problem.cache:
        return problem.cache[key]
    made = opened(problem, mlp, batch)
    if made.num_bytes * (problem.num_local / len(batch.x)) <= problem.memory / SHARE:
        problem.cache[key] = made
    return made
