"""The recogniser of tensors in which the outputs of a model are affine within a cell of the activation pattern."""

import re

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.func import functional_call

from scalecurv.affine.exact_zero import without_curvature
from scalecurv.affine.interpretation import Interpretation, Reading, State
from scalecurv.autodiff.backends import nodes
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.errors import CheckpointError
from scalecurv.problem.outputs import part_of, rows_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.user_model import arguments, quoted
from scalecurv.samples.nested import Inputs, leaves_of

SAMPLES = 2
OF_TORCH = re.compile(r"(torch::autograd::)?(\w+Backward\d+|CopySlices|CopyBackwards|AccumulateGrad|AsStrided\w*)")


@remembered
def affine_tensors(problem: Problem) -> frozenset[str]:
    """Return the names of the free parameters W with d^2 f_k / dW^2 = 0 for every output f_k; remembered.

    There R_WW = 0 and H_WW = G_WW, whatever the loss and theta, off the kinks. Two tests must agree: one pass forward,
    followed operation by operation, finds no smooth function of W and no product of two arrays that depend on W; and
    the second derivative by autograd along W is 0.0. The set is empty where the model has a derivative of its own (an
    autograd.Function), where forward turns values of samples or parameters into Python numbers or shapes, since other
    samples may then take another path, and where it raises because its operations are followed. Costs two gradients of
    two samples, the first of the data set on all ranks, and about one more for each name that passes the first test.
    """
    x = problem.sample[:SAMPLES]
    leaves = {name: part.detach().clone() for name, part in problem.space.unflatten(problem.theta).items()}
    with torch.enable_grad(), quoted(problem.model, "the outputs, to find where they are affine"):
        try:
            with quoted(problem.model, "the outputs, operation by operation"):
                f, bent = _followed(problem, {name: leaf.requires_grad_() for name, leaf in leaves.items()}, x)
        except CheckpointError:  # a forward that refuses modes; one that is broken says so where it runs alone
            return frozenset()
        if bent is None or not all(map(_of_torch, nodes(f))):
            return frozenset()
        names = [name for i, name in enumerate(leaves) if not bent >> i & 1]
        return without_curvature(rows_of(f, len(x)), leaves, names)


def _followed(problem: Problem, leaves: dict[str, Tensor], x: Inputs) -> tuple[Tensor, int | None]:
    """Return the outputs for x, and the parameters in which they are not affine as bits, None where it is unclear."""
    forward, x = problem.forward, x.clone()
    positional, named = arguments(forward.model, x)
    seen = Interpretation()
    for i, leaf in enumerate(leaves.values()):
        seen.enter(leaf, State(1 << i, 0, True))
    for leaf in leaves_of(x):
        seen.enter(leaf, State(varies=True))
    with twice_differentiable(), Reading(seen), seen:
        returned = functional_call(forward.model, {**leaves, **forward.constants}, positional, named)
        f = part_of(returned, forward.place)
    state = seen.state(f)
    return f, None if seen.unclear else state.bent


def _of_torch(node: torch.autograd.graph.Node) -> bool:
    """Return True for a derivative that torch itself defines; False for those of users and of compiled code."""
    return not isinstance(node, BackwardCFunction) and OF_TORCH.fullmatch(node.name()) is not None
