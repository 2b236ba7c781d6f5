"""tr H of a piecewise-linear MLP without a single Hessian product: each layer's share, exact."""

import torch
from torch import Tensor

from scalecurv.curvature.layers import open_batch
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.risk import sum_over_data


def layer_traces(problem: Problem, mlp: MLP) -> Tensor:
    """tr H_ll for each layer's weights and bias together, shape (L,) in float64, in D backward passes.

    No output of such a network has a second derivative along a single parameter, so that H and the Gauss-Newton
    matrix share their diagonal blocks: tr H_ll = c sum_i |F_i' B_l(x_i)|_F^2 (|a_(l-1)(x_i)|^2 + 1), where
    F_i F_i' = d^2 loss / df^2 and B_l = df/dz_l. Exact for any loss with a known factor, at any theta off the kinks.
    Weight decay w adds w times the number of parameters in the layer.
    """
    total = sum_over_data(problem, lambda batch: _contribution(problem, mlp, batch)).double()
    return total + problem.weight_decay * layer_sizes(problem, mlp).to(total.device)


def layer_sizes(problem: Problem, mlp: MLP) -> Tensor:
    """Parameters in each layer, weights and bias together, shape (L,) in float64."""
    sizes = [part.stop - part.start for name in mlp.layers for part in [problem.space.layers[name]]]
    return torch.tensor(sizes, dtype=torch.float64)


def _contribution(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    assert problem.loss.factor is not None
    D, total = problem.num_outputs, torch.zeros(len(mlp.layers), dtype=torch.float64, device=problem.device)
    for piece in batch.pieces(samples_at_once(problem, mlp, D)):
        opened = open_batch(problem, mlp, piece)
        seeds = problem.loss.factor(opened.outputs, piece.y).transpose(1, 2)
        for l, rows in enumerate(opened.pulled(seeds)):
            weight = (rows.double() ** 2).sum((1, 2))
            total[l] += problem.scale * (weight * opened.squared_inputs(l).double()).sum()
    return total


def samples_at_once(problem: Problem, mlp: MLP, num_rows: int) -> int:
    """Samples whose `num_rows` pulled rows at every layer fit into half of the memory."""
    scalars = num_rows * (sum(mlp.widths[1:]) + 2 * max(mlp.widths)) + num_rows * problem.num_outputs
    return max(1, problem.memory // 2 // (scalars * problem.dtype.itemsize))
