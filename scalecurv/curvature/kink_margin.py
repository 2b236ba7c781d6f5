"""How near the activation pattern of a batch is to another one, against the sizes that rounding acts on."""

import torch
from torch import Tensor, nn

from scalecurv.curvature.layers import OpenBatch, open_batch
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Problem


def kink_margins(opened: OpenBatch, mlp: MLP) -> Tensor:
    """min over hidden neurons of |z| / (|W| |a| + |b|) for each sample, shape (B,); inf without a kinked activation.

    For activations with their kink at 0. It is 0 where z is exactly 0, as behind a layer that is off with biases 0.
    """
    least = torch.full((len(opened.outputs),), torch.inf, dtype=opened.outputs.dtype, device=opened.outputs.device)
    for l, phi in enumerate(mlp.activations):
        if type(phi) is nn.Identity:
            continue
        bias = opened.biases[l]
        size = nn.functional.linear(
            opened.inputs[l].abs(), opened.weights[l].abs(), None if bias is None else bias.abs()
        )
        share = opened.pre[l].abs() / size.clamp_min(torch.finfo(size.dtype).tiny)
        least = torch.minimum(least, share.amin(1))
    return least


def kink_margin(problem: Problem, mlp: MLP) -> float:
    """The least of all samples."""
    return min(float(kink_margins(open_batch(problem, mlp, batch), mlp).min()) for batch in problem.batches())


def rounding_margin(mlp: MLP) -> float:
    """Below this share the error of its inner products may put a float64 pre-activation on the wrong side of 0."""
    return 4 * sum(mlp.widths) * float(torch.finfo(torch.float64).eps)
