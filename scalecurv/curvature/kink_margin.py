"""How near the activation pattern of a batch is to another one, against the rounding that may have brought it there."""

import torch
from torch import Tensor, nn

from scalecurv.curvature.layers import OpenBatch, open_batch
from scalecurv.curvature.liveness import liveness
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Problem

ROUNDING = float(torch.finfo(torch.float64).eps)  # a float64 pattern is certain where its margin is above this


def kink_margins(opened: OpenBatch, mlp: MLP) -> Tensor:
    """min |z| / s over the hidden neurons of each sample that reach an output, shape (B,); inf where there is none.

    s is the size of what z is made of, with all that rounding may have added since the inputs: (n + 2) (|W| |a| + |b|)
    + |W| s(a) for n inputs, s(phi(z)) = |phi'| s(z) + |a|, so that |z| is off by less than eps s (Higham 2002, chapter
    3). For activations with their kink at 0; the margin is 0 where z is exactly 0, as behind a layer that is off with
    biases 0. A neuron without a path of nonzero weights to an output bends nothing.
    """
    reach = liveness(opened).reach
    outputs = opened.outputs
    least = torch.full((len(outputs),), torch.inf, dtype=outputs.dtype, device=outputs.device)
    carried = torch.zeros_like(opened.inputs[0])
    for l, phi in enumerate(mlp.activations):
        weight, size, z, slope = opened.weights[l].abs(), opened.sizes(l), opened.pre[l], opened.slopes[l]
        carried = (weight.shape[1] + 2) * size + carried @ weight.T
        if type(phi) is not nn.Identity:
            share = z.abs() / carried.clamp_min(torch.finfo(size.dtype).tiny)
            least = torch.minimum(least, torch.where(reach[l], share, torch.inf).amin(1))
        carried = slope.abs() * carried + opened.inputs[l + 1].abs()
    return least


def kink_margin(problem: Problem, mlp: MLP) -> float:
    """The least of all samples."""
    return min(float(kink_margins(open_batch(problem, mlp, batch), mlp).min()) for batch in problem.batches())
