"""tr H of a piecewise-linear MLP with many outputs: probes of the outputs, one backward pass each."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.curvature.exact_trace import layer_sizes, samples_at_once
from scalecurv.curvature.layers import open_batch
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.linalg.probes import probes

STREAM = "output probes"


def output_probe_terms(problem: Problem, mlp: MLP, seed: int, index: int) -> np.ndarray:
    """One pass: for each sample its unbiased term of tr H_ll, shape (N, L) in float64.

    Y_il = c |B_l' F_i s_i|^2 (|a_(l-1)|^2 + 1) with independent signs s_i in {-1, 1}^D for every sample, so that
    E sum_i Y_il = tr H_ll. The passes `index` = 0, 1, ... are independent. Weight decay is spread over the samples.
    """
    signs = probes(problem.num_data * problem.num_outputs, seed, STREAM, [index], dtype=torch.float64)[:, 0]
    signs = signs.view(problem.num_data, problem.num_outputs).to(problem.device, problem.dtype)
    terms = torch.cat([_terms(problem, mlp, batch, signs) for batch in problem.batches()]).cpu()
    return (terms + problem.weight_decay * layer_sizes(problem, mlp) / problem.num_data).numpy()


def _terms(problem: Problem, mlp: MLP, batch: Batch, signs: Tensor) -> Tensor:
    assert problem.loss.factor is not None
    done = []
    for piece in batch.pieces(samples_at_once(problem, mlp, problem.num_outputs)):
        opened = open_batch(problem, mlp, piece)
        s = signs[piece.start : piece.start + len(piece.x)]
        seeds = problem.loss.factor(opened.outputs, piece.y) @ s[:, :, None]
        columns = [
            (rows.double() ** 2).sum((1, 2)) * opened.squared_inputs(l).double()
            for l, rows in enumerate(opened.pulled(seeds.transpose(1, 2)))
        ]
        done.append(problem.scale * torch.stack(columns, dim=1))
    return torch.cat(done)
