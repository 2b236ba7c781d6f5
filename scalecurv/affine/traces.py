"""tr G by parameter tensor and by sample, G the Gauss-Newton matrix, for any module: exact, or by output probes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.probes import probes
from scalecurv.problem import graphs
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch

STREAM = "output probes"


def tensor_traces(problem: Problem, names: Sequence[str]) -> Tensor:
    """Return tr G_WW for each named tensor W, shape (len(names),) in float64, in D backward passes.

    tr G_WW = c sum_i sum_k |J_iW' F_ik|^2, F_i F_i' = d^2 loss / df^2 at sample i. Weight decay w adds w times the
    number of entries of W.
    """
    total = sum_over_data(problem, lambda batch: _each(problem, batch, names, None).sum(0))
    sizes = torch.tensor([problem.space.shapes[name].numel() for name in names], dtype=torch.float64)
    return total.double().cpu() + problem.weight_decay * sizes


def sample_traces(problem: Problem) -> Tensor:
    """Return T_i = c tr (F_i' J_i J_i' F_i) for each sample of this rank, (n,) in float64, weight decay left out."""
    names = list(problem.space.shapes)
    return torch.cat([_each(problem, batch, names, None).sum(1) for batch in problem.own_batches()]).cpu()


def output_probe_terms(problem: Problem, names: Sequence[str], seed: int, index: int) -> np.ndarray:
    """Return each sample's unbiased term of tr G_WW from one pass, shape (N, len(names)) in float64.

    Y_iW = c |J_iW' F_i s_i|^2 with independent signs s_i in {-1, 1}^D for every sample: see `mlp.trace`.
    """
    D = problem.num_outputs
    signs = probes(problem.num_data * D, seed, STREAM, [index], dtype=torch.float64)[:, 0].view(-1, D)
    rows = [
        _each(problem, batch, names, signs[batch.start : batch.start + len(batch.x)].to(problem.device, problem.dtype))
        for batch in problem.batches()
    ]
    sizes = np.array([problem.space.shapes[name].numel() for name in names])
    return torch.cat(rows).cpu().numpy() + problem.weight_decay * sizes / problem.num_data


def _each(problem: Problem, batch: Batch, names: Sequence[str], signs: Tensor | None) -> Tensor:
    """Return c sum over columns s of F_i (or the one column F_i s_i) of |J_iW' s|^2, (B, len(names)) in float64."""
    assert problem.loss.factor is not None
    slices = problem.space.slices
    with torch.no_grad():
        factor = problem.loss.factor(problem.outputs(problem.theta, batch.x), batch.y)
    columns = factor if signs is None else factor @ signs[:, :, None]
    found = torch.zeros(len(batch.x), len(names), dtype=torch.float64)
    for i in range(len(batch.x)):
        one = Batch(batch.x[i : i + 1], batch.y[i : i + 1], batch.start + i)
        pulled = graphs.linearized(problem, one).pull(columns[i])
        for j, name in enumerate(names):
            found[i, j] = pulled[slices[name]].double().square().sum()
    return problem.scale * found
