"""Upper bounds on the rank of J from the structure of an MLP, neuron by neuron and cell by cell."""

from dataclasses import dataclass

import numpy as np
import torch

from scalecurv.curvature.exchanges import exchanges
from scalecurv.curvature.factors import JacobianFactors
from scalecurv.curvature.inner_ranks import beside_one, inner_ranks
from scalecurv.curvature.layers import OpenBatch
from scalecurv.curvature.liveness import Liveness

MEMBERS = 1 << 25  # entries of the table of samples by patterns


@dataclass(frozen=True)
class Bound:
    """`value` is at least the rank of J where every inner rank it is made of is right; `unproven` of them may not be.

    Inner ranks are taken modulo the primes of the cells, the largest counts.
    """

    value: int
    unproven: int = 0


def neuron_bound(opened: OpenBatch, alive: Liveness, cells: tuple[JacobianFactors, ...]) -> Bound:
    """sum over live neurons of (rank[inputs of its live samples] - its exchanges) + C rank[inputs of the outputs].

    A neuron's columns of J are its inputs, each row times a number: their rank is that of the inputs where the
    number may be nonzero. Exchanges are counted twice in the sum, see `exchanges`.
    """
    num_outputs, primes = cells[0].rows[0].shape[1], tuple(cell.modulus for cell in cells)
    total, unproven = 0, 0
    for l, live in enumerate(alive.live):
        last = l == len(alive.live) - 1
        inputs = [beside_one(cell.inputs[l], cell.biased[l]) for cell in cells]
        nonzero = beside_one(opened.inputs[0] != 0 if l == 0 else opened.slopes[l - 1] != 0, cells[0].biased[l])
        inner = inner_ranks(live[:, :1] if last else live, inputs, nonzero, primes)
        total += num_outputs * int(inner.ranks.sum()) if last else int(inner.ranks.sum())
        total -= 0 if last else exchanges(opened, alive, cells, l)
        unproven += inner.unproven
    return Bound(total, unproven)


def cell_bound(opened: OpenBatch, cells: tuple[JacobianFactors, ...]) -> Bound:
    """C sum over activation patterns of rank[inputs, 1]: within one pattern J is affine in the input."""
    num_data, num_outputs = cells[0].rows[0].shape[:2]
    which, counts = _patterns(opened)
    shared = np.flatnonzero(counts > 1)
    if not len(shared):
        return Bound(num_data * num_outputs)
    if len(which) * len(shared) > MEMBERS:  # the ranks themselves would take too much: rows and columns stand for them
        return Bound(num_outputs * int(np.minimum(counts, opened.inputs[0].shape[1] + 1).sum()))
    members = torch.from_numpy(which[:, None] == shared).to(opened.outputs.device)
    affine = any(bias is not None for bias in opened.biases)
    inputs = [beside_one(cell.inputs[0], affine) for cell in cells]
    primes = tuple(cell.modulus for cell in cells)
    inner = inner_ranks(members, inputs, beside_one(opened.inputs[0] != 0, affine), primes)
    return Bound(num_outputs * (int((counts == 1).sum()) + int(inner.ranks.sum())), inner.unproven)


def _patterns(opened: OpenBatch) -> tuple[np.ndarray, np.ndarray]:
    """The number of each sample's activation pattern, and how many samples share each."""
    if not opened.slopes:
        return np.zeros(len(opened.outputs), dtype=int), np.array([len(opened.outputs)])
    bits = np.packbits(torch.cat([slope == 1 for slope in opened.slopes], dim=1).cpu().numpy(), axis=1)
    _, which, counts = np.unique(bits, axis=0, return_inverse=True, return_counts=True)
    return which.reshape(-1), counts
