"""The inside of a piecewise-linear MLP on a batch: the input and the output of each affine layer, and the slopes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scalecurv.autodiff.backends import AUTOGRAD
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch


@dataclass(frozen=True)
class OpenBatch:
    """One mini-batch, layer by layer l = 1 .. L, all in one dtype.

    `inputs[l-1]` is a_(l-1) of shape (B, n_(l-1)), `pre[l-1]` z_l of shape (B, n_l), `slopes[l-1]` phi'(z_l) for
    l < L, `weights[l-1]` W_l of shape (n_l, n_(l-1)), `biases[l-1]` b_l or None. `pre[-1]` are the outputs f.
    """

    inputs: tuple[Tensor, ...]
    pre: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]

    @property
    def outputs(self) -> Tensor:
        """f of shape (B, D)."""
        return self.pre[-1]

    def pulled(self, seeds: Tensor) -> tuple[Tensor, ...]:
        """Return s' B_l (B, c, n_l) for each layer l, where B_l = df/dz_l and `seeds` s have shape (B, c, D)."""
        rows = [seeds]
        for weight, slope in zip(reversed(self.weights[1:]), reversed(self.slopes), strict=True):
            rows.append((rows[-1] @ weight) * slope[:, None, :])
        return tuple(reversed(rows))

    def inner_inputs(self, layer: int, left: slice, right: slice) -> Tensor:
        """Return the inner products (b, b') of the layer's inputs in two ranges of samples, plus 1 for a bias."""
        a = self.inputs[layer]
        return a[left] @ a[right].T + float(self.biases[layer] is not None)

    def sizes(self, layer: int) -> Tensor:
        """Return |W| |a| + |b| of shape (B, n_l): the terms of the pre-activations added without their signs."""
        bias = self.biases[layer]
        return nn.functional.linear(
            self.inputs[layer].abs(), self.weights[layer].abs(), None if bias is None else bias.abs()
        )

    def squared_inputs(self, layer: int) -> Tensor:
        """Return |a|^2, plus 1 for a bias, of shape (B,)."""
        return (self.inputs[layer] ** 2).sum(1) + float(self.biases[layer] is not None)


@remembered
def listed_mlp(problem: Problem) -> MLP | None:
    """Return the MLP that the model is, where all parameters are free and it computes as it is listed; else None."""
    mlp = problem.listed
    return mlp if mlp is not None and _computes_as_listed(problem, mlp) else None


def structure_of(problem: Problem) -> MLP | None:
    """Return the MLP that the model is, where its outputs are piecewise linear in each parameter; else None.

    It is None too for a problem in which only a block of the parameters is free.
    """
    mlp = listed_mlp(problem)
    return mlp if mlp is not None and mlp.piecewise_linear else None


def _computes_as_listed(problem: Problem, mlp: MLP) -> bool:
    """Return True where the layers, one after the other, have the model's outputs on the sample of the problem."""
    batch = Batch(problem.sample, problem.sample_targets, 0)  # the same on all ranks, which must agree
    try:
        ours = open_batch(problem, mlp, batch).outputs
    except RuntimeError:  # shapes that only the model itself can take
        return False
    theirs = problem.outputs(problem.theta, batch.x)
    if not bool(theirs.isfinite().all()):
        return False
    margin = torch.finfo(problem.dtype).eps ** 0.5
    return ours.shape == theirs.shape and torch.allclose(
        ours, theirs, rtol=margin, atol=margin * float(theirs.abs().max())
    )


def homogeneous_mlp(problem: Problem) -> MLP | None:
    """Return the MLP that the model is, where its hidden neurons can be rescaled; else None."""
    mlp = structure_of(problem)
    return mlp if mlp is not None and mlp.homogeneous else None


def open_batch(problem: Problem, mlp: MLP, batch: Batch) -> OpenBatch:
    """Return inputs, pre-activations and slopes of one forward pass; slopes are autograd's, 0 at a kink of ReLU."""
    parts = problem.space.unflatten(problem.theta)
    assert isinstance(batch.x, Tensor)  # as `structure_of` has seen
    a = batch.x.flatten(1)
    inputs, pre, slopes, weights, biases = [], [], [], [], []
    for l, name in enumerate(mlp.layers):
        weight, bias = parts[f"{name}.weight"], parts.get(f"{name}.bias")
        z = nn.functional.linear(a, weight, bias)
        inputs.append(a)
        pre.append(z)
        weights.append(weight)
        biases.append(bias)
        if l < len(mlp.activations):
            a, slope = bent(mlp.activations[l], z)
            slopes.append(slope)
    return OpenBatch(tuple(inputs), tuple(pre), tuple(slopes), tuple(weights), tuple(biases))


def bent(phi: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return phi(z) and phi'(z) elementwise; activations that work in place get a copy of z."""
    at = z.detach().requires_grad_()
    with torch.enable_grad():  # plain autograd: torch.func takes a millisecond to set up
        a = phi(at.clone())
        (slope,) = torch.autograd.grad(a.sum(), at)  # with an output gradient of its own torch would import sympy
    return a.detach(), slope


def residuals(problem: Problem, batch: Batch, f: Tensor) -> Tensor:
    """Return c dloss/df of shape (B, D), where c is the factor in front of the sum."""
    return AUTOGRAD.gradient(lambda outputs: problem.scale * problem.loss.total(outputs, batch.y), f)[0]
