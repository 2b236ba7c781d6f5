"""Lower bounds on the largest eigenvalue of the Gauss-Newton matrix of an MLP, from one forward pass."""

import torch
from torch import Tensor

from scalecurv.mlp.layers import open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch


def euler_bounds(problem: Problem, mlp: MLP) -> Tensor:
    """Return c^2 sum_i f_i'M_i f_i / |E theta|^2 <= lambda_max(G) for L + 1 directions E theta, shape (L + 1,).

    By Euler's theorem for homogeneous functions J E theta = c f: c = 1 along W_l and all later biases, l = 1 .. L, and
    c = L along all W_l and l b_l. Each number is thus a Rayleigh quotient of G, weight decay included; the data's part
    is 0 where E theta is 0. Raises ValueError for activations that are not positively homogeneous.
    """
    if not mlp.homogeneous:
        raise ValueError("outputs grow in proportion for homogeneous activations: ReLU, LeakyReLU or none")
    parts = problem.space.unflatten(problem.theta.double())
    weights = torch.stack([(parts[f"{name}.weight"] ** 2).sum() for name in mlp.layers])
    zero = weights.new_zeros(())
    biases = torch.stack([(parts[f"{n}.bias"] ** 2).sum() if f"{n}.bias" in parts else zero for n in mlp.layers])
    L = len(mlp.layers)
    depth = torch.arange(1, L + 1, dtype=torch.float64, device=weights.device)
    later = biases.flip(0).cumsum(0).flip(0)
    lengths = torch.cat([weights + later, (weights + depth**2 * biases).sum()[None]])
    speeds = torch.cat([torch.ones_like(depth), depth[-1:]])
    bent = sum_over_data(problem, lambda batch: _bent(problem, mlp, batch)).double()
    return torch.where(lengths > 0, speeds**2 * bent / lengths.clamp_min(1e-300), 0.0) + problem.weight_decay


def _bent(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    """Return sum_i f_i'M_i f_i of one batch, where M_i holds the factor in front of the sum over samples."""
    assert problem.loss.factor is not None
    f = open_batch(problem, mlp, batch).outputs
    along = torch.einsum("ncd,nc->nd", problem.loss.factor(f, batch.y), f)
    return problem.scale * (along.double() ** 2).sum()
