"""An MLP in one activation cell, modulo a prime: what its Jacobian is in exact arithmetic."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.curvature.factors import JacobianFactors
from scalecurv.curvature.layers import OpenBatch
from scalecurv.linalg.probes import generator
from scalecurv.linalg.residues import matmul_mod, reduced, residues


def cell_factors(opened: OpenBatch, seeds: Tensor, prime: int, generic: int | None = None) -> JacobianFactors:
    """The factors of J modulo `prime`, for a network whose slopes on this batch are those of `opened`, float64.

    With the slopes frozen every entry of J is a polynomial with whole coefficients in weights, biases, slopes and
    inputs. These are floats, so that all have residues: the rank modulo `prime` is at most the rank of J in exact
    arithmetic at the floats as given. `generic` is the seed of random residues in the place of weights and biases:
    then it is at most the rank at almost all parameters of the cell, and equal to it but with small probability.
    `seeds` (C, D) are the combinations of outputs, whole numbers. Activations must be homogeneous, phi(z) = phi'(z) z.
    """
    weights = [_parameter(w, prime, generic, f"weight {l}") for l, w in enumerate(opened.weights)]
    biases = [None if b is None else _parameter(b, prime, generic, f"bias {l}") for l, b in enumerate(opened.biases)]
    slopes = [residues(slope, prime) for slope in opened.slopes]
    inputs = [residues(opened.inputs[0], prime)]
    for weight, bias, slope in zip(weights, biases, slopes, strict=False):
        z = matmul_mod(inputs[-1], weight.T, prime)
        inputs.append(reduced((z if bias is None else reduced(z + bias, prime)) * slope, prime))
    rows = [seeds.to(torch.float64).expand(len(inputs[0]), *seeds.shape)]
    for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        rows.append(reduced(matmul_mod(rows[-1], weight, prime) * slope[:, None, :], prime))
    biased = tuple(bias is not None for bias in biases)
    return JacobianFactors(tuple(inputs), tuple(reversed(rows)), biased, prime)


def random_residues(shape: tuple[int, ...], prime: int, seed: int, stream: str, device: torch.device) -> Tensor:
    """Independent and uniform modulo `prime`, float64, the same on every device."""
    drawn = generator(seed, stream, prime).integers(-(prime // 2), prime // 2 + 1, size=shape)
    return torch.from_numpy(drawn.astype(np.float64)).to(device)


def _parameter(parameter: Tensor, prime: int, generic: int | None, name: str) -> Tensor:
    if generic is None:
        return residues(parameter, prime)
    return random_residues(tuple(parameter.shape), prime, generic, f"cell {name}", parameter.device)
