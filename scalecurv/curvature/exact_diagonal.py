"""The diagonal of H of a piecewise-linear MLP, exact and without a single Hessian product."""

import torch
from torch import Tensor

from scalecurv.curvature.exact_trace import samples_at_once
from scalecurv.curvature.layers import open_batch
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.risk import sum_over_data


def exact_diagonal(problem: Problem, mlp: MLP) -> dict[str, Tensor]:
    """diag H by parameter name, each of its parameter's shape, in D backward passes.

    d^2 L / dW_l[s, q]^2 = c sum_i |(F_i' B_l)_s|^2 a_(l-1)[q]^2, for b_l[s] the same without a: no output has a second
    derivative along a single parameter, so that this is the diagonal of the Gauss-Newton matrix. F_i F_i' = d^2 loss /
    df^2, B_l = df/dz_l. Exact for any loss with a known factor, at any theta off the kinks. Weight decay is in it.
    """
    diagonal = sum_over_data(problem, lambda batch: _contribution(problem, mlp, batch))
    return problem.space.unflatten(diagonal + problem.weight_decay if problem.weight_decay else diagonal)


def _contribution(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    assert problem.loss.factor is not None
    total = torch.zeros_like(problem.theta)
    parts = problem.space.unflatten(total)  # views: adding to one adds to the whole
    for piece in batch.pieces(samples_at_once(problem, mlp, problem.num_outputs)):
        opened = open_batch(problem, mlp, piece)
        seeds = problem.loss.factor(opened.outputs, piece.y).transpose(1, 2)
        for l, (name, rows) in enumerate(zip(mlp.layers, opened.pulled(seeds), strict=True)):
            squares = problem.scale * (rows**2).sum(1)
            parts[f"{name}.weight"] += squares.T @ opened.inputs[l] ** 2
            if opened.biases[l] is not None:
                parts[f"{name}.bias"] += squares.sum(0)
    return total
