"""How many pre-activations sit on a kink: where the Hessian is one-sided and rounding decides which side."""

import torch
from torch import Tensor, nn

from scalecurv.curvature.layers import OpenBatch, bent, open_batch
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.risk import sum_over_data


def kinks(problem: Problem, mlp: MLP) -> Tensor:
    """For each hidden layer the number of (sample, neuron) pairs within rounding of a kink, shape (L - 1,), float64.

    z is within rounding of a kink where phi'(z - d) != phi'(z + d), d = eps sqrt(n + 1) (|W| |a| + |b|) for inner
    products of length n in the problem's own dtype. Exact zeros count: they come from zero biases behind a layer
    that is off, where autograd takes phi'(0) = 0 and the one-sided derivative may be 1.
    """
    return sum_over_data(problem, lambda batch: _contribution(problem, mlp, batch)).double()


def _contribution(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    opened = open_batch(problem, mlp, batch)
    counts = [_count(opened, l, phi) for l, phi in enumerate(mlp.activations)]
    return torch.tensor(counts, dtype=torch.float64, device=problem.device)


def _count(opened: OpenBatch, layer: int, phi: nn.Module) -> int:
    z, weight = opened.pre[layer], opened.weights[layer]
    info = torch.finfo(z.dtype)
    margin = (info.eps * (weight.shape[1] + 1) ** 0.5 * opened.sizes(layer)).clamp_min(info.tiny)
    return int((bent(phi, z - margin)[1] != bent(phi, z + margin)[1]).sum())
