"""What comes into each hidden neuron against what goes out of it."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from scalecurv.curvature.mlp import MLP


def in_and_out(mlp: MLP, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Sums over the weights and the bias into each hidden neuron, and over the weights out of it, (h,) each.

    `parts` holds a number for each parameter, by name: its square, its share of tr H, ... Of the squares of theta the
    difference in - out is each neuron's balancedness, which gradient flow conserves and which one step of gradient
    descent of size eta changes by eta^2 times that of the squares of the gradient, exactly, where activations are
    homogeneous. (Du, Hu and Lee 2018, arXiv 1806.00900)
    """
    coming, going = [], []
    for name, after in pairwise(mlp.layers):
        arriving = parts[f"{name}.weight"].sum(1)
        if f"{name}.bias" in parts:
            arriving = arriving + parts[f"{name}.bias"]
        coming.append(arriving)
        going.append(parts[f"{after}.weight"].sum(0))
    if not coming:
        return torch.zeros(0), torch.zeros(0)
    return torch.cat(coming), torch.cat(going)
