"""Where products with a perceptron's H, G and J are taken in closed form, and the passes that they share."""

from dataclasses import replace

import torch
from torch import Tensor

from scalecurv.autodiff.backends import AUTOGRAD
from scalecurv.linalg.probes import probes
from scalecurv.mlp.layers import listed_mlp
from scalecurv.mlp.passes import Pass, opened
from scalecurv.problem.graphs import fits
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import Inputs
from scalecurv.samples.rows import Held

NAME = "closed form"  # in the provenance of a record
STREAM = "closed form"
SHARE = 4  # of `memory` that passes take, in each of two dtypes; temporaries take the other half


@remembered
def closed_form(problem: Problem) -> MLP | None:
    """Return the MLP whose products are taken in closed form, None where autograd takes them; remembered.

    The model must be the list of its layers, with all parameters free. At the first two samples J v and H v of the
    loss |f|^2 / 2 must be those of autograd, to half of the digits: the second derivatives of other losses may cancel
    in autograd's rounding, and a product with those is not a truth to compare with.
    """
    mlp = listed_mlp(problem)
    if mlp is None:
        return None
    pair = Batch(problem.sample[:2], problem.sample_targets[:2], 0)  # the same on all ranks, which must agree
    v = probes(problem.num_params, 0, STREAM, [0], "gaussian", problem.dtype, problem.device)
    v = v * problem.theta.abs().mean()
    ours = replace(opened(problem, mlp, pair, sure=False), loss=_half_square, second=lambda f: lambda U: U)
    # plain autograd takes every list of layers, and torch.func would load all of torch.compile: 1.5 s at its first use
    theirs = AUTOGRAD.hessian(lambda theta: _half_square(problem.outputs(theta, pair.x)), problem.theta)
    pushed = AUTOGRAD.linearized(lambda theta: problem.outputs(theta, pair.x), problem.theta).push(v)
    same = _alike(ours.push(v), pushed, problem) and _alike(ours.hessian(v), theirs(v), problem)
    return mlp if same else None


def _half_square(f: Tensor) -> Tensor:
    return f.square().sum() / 2


def _alike(ours: Tensor, theirs: Tensor, problem: Problem) -> bool:
    margin = torch.finfo(problem.dtype).eps ** 0.5
    return bool(ours.isfinite().all()) and float((ours - theirs).norm()) <= margin * float(theirs.norm())


def pass_of(problem: Problem, mlp: MLP, batch: Batch) -> Pass:
    """Return the pass of a mini-batch; those of as many mini-batches as fit are kept for later products.

    A pass is not used again where its owner has written to the data since.
    """
    key, written = (pass_of, batch.start, len(batch.x)), tuple(map(_times_written, (batch.x, batch.y)))
    before, kept = problem.cache.get(key, (None, None))
    if kept is not None and before == written:
        return kept
    made, foot = opened(problem, mlp, batch), problem.footprint
    inputs = 0 if isinstance(problem.rows, Held) else foot.inputs  # of samples in memory they are there anyway
    if kept is not None or fits(problem, (pass_of,), foot.itemsize * (foot.kept + inputs) * len(batch.x), SHARE):
        problem.cache[key] = written, made
    return made


def _times_written(data: Inputs) -> int:
    """Return how often torch has written to the memory of a tensor; 0 for other data, which torch does not count."""
    return data._version if isinstance(data, Tensor) and not data.is_inference() else 0
