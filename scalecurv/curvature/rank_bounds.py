"""Upper bounds on the rank of J from the structure of an MLP, neuron by neuron and cell by cell."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.curvature.cell import random_residues
from scalecurv.curvature.factors import JacobianFactors
from scalecurv.curvature.layers import OpenBatch
from scalecurv.curvature.liveness import Liveness
from scalecurv.linalg.modular_rank import modular_rank, modular_ranks
from scalecurv.linalg.residues import matmul_mod

SPARE = 8  # random combinations beyond the rank: one of p^SPARE draws hides some of it
WORK = 1 << 30  # multiplications that inner ranks may take; beyond, counts of rows and columns stand for them


@dataclass(frozen=True)
class Bound:
    """`value` is at least the rank of J where every inner rank it is made of is right.

    `unproven` counts inner ranks that are smaller than their matrix allows: residues can be short of the rank, so
    that these hold with high probability only. The others are certain.
    """

    value: int
    unproven: int = 0


def neuron_bound(alive: Liveness, cells: tuple[JacobianFactors, ...], rescalings: int) -> Bound:
    """sum over live neurons of rank[inputs of its live samples] + C rank[inputs of the outputs] - rescalings.

    A neuron's columns of J are its inputs, each row times a number: their rank is that of the inputs where the
    number may be nonzero. Ranks are taken modulo the primes of `cells`, the largest counts.
    """
    num_outputs = cells[0].rows[0].shape[1]
    total, unproven = -rescalings, 0
    for l, live in enumerate(alive.live):
        last = l == len(alive.live) - 1
        inputs = [_beside_one(cell.inputs[l], cell.biased[l]) for cell in cells]
        inner = _inner_ranks(live[:, :1] if last else live, inputs, cells)
        total += (num_outputs if last else 1) * int(inner.ranks.sum())
        unproven += inner.unproven
    return Bound(total, unproven)


def cell_bound(opened: OpenBatch, cells: tuple[JacobianFactors, ...]) -> Bound:
    """C sum over activation patterns of rank[inputs, 1]: within one pattern J is affine in the input."""
    num_data, num_outputs = cells[0].rows[0].shape[:2]
    which, counts = _patterns(opened)
    shared = np.flatnonzero(counts > 1)
    if not len(shared):
        return Bound(num_data * num_outputs)
    members = torch.from_numpy(which[:, None] == shared).to(opened.outputs.device)
    affine = any(bias is not None for bias in opened.biases)
    inner = _inner_ranks(members, [_beside_one(cell.inputs[0], affine) for cell in cells], cells)
    return Bound(num_outputs * (int((counts == 1).sum()) + int(inner.ranks.sum())), inner.unproven)


def _patterns(opened: OpenBatch) -> tuple[np.ndarray, np.ndarray]:
    """The number of each sample's activation pattern, and how many samples share each."""
    if not opened.slopes:
        return np.zeros(len(opened.outputs), dtype=int), np.array([len(opened.outputs)])
    bits = np.packbits(torch.cat([slope == 1 for slope in opened.slopes], dim=1).cpu().numpy(), axis=1)
    _, which, counts = np.unique(bits, axis=0, return_inverse=True, return_counts=True)
    return which.reshape(-1), counts


@dataclass(frozen=True)
class _InnerRanks:
    ranks: Tensor
    unproven: int


def _inner_ranks(members: Tensor, inputs: list[Tensor], cells: tuple[JacobianFactors, ...]) -> _InnerRanks:
    """The rank of inputs[members[:, j]] for each j: the largest over the primes, at most min(rows, nonzero columns)."""
    nonzero = torch.stack([a != 0 for a in inputs]).any(0)
    columns = (members.float().T @ nonzero.float() > 0).sum(1)
    most = torch.minimum(members.sum(0), columns)
    found = torch.stack([_ranks(members, a, cell, int(most.max())) for a, cell in zip(inputs, cells, strict=True)])
    ranks = torch.minimum(found.max(0).values, most)
    return _InnerRanks(ranks, int((ranks < most).sum()))


def _ranks(members: Tensor, a: Tensor, cell: JacobianFactors, most: int) -> Tensor:
    """Modulo the cell's prime, from as many random combinations of the rows of each; or, too much work, of all rows."""
    assert cell.prime is not None
    (num_data, groups), width = members.shape, a.shape[1]
    k = min(most, width) + SPARE
    if groups == 1 or groups * k * width * (width + num_data // 8) > WORK:
        whole = modular_rank(a[members.any(1)].clone(), cell.prime)
        return torch.full((groups,), whole, device=a.device)
    weights = random_residues((k, num_data), cell.prime, 0, "row combinations", a.device)
    step = max(1, (1 << 25) // (k * num_data))
    ranks = []
    for i in range(0, groups, step):
        chosen = members[:, i : i + step].T[:, None, :] * weights
        ranks.append(modular_ranks(matmul_mod(chosen, a, cell.prime), cell.prime))
    return torch.cat(ranks)


def _beside_one(a: Tensor, biased: bool) -> Tensor:
    return torch.cat([a, torch.ones_like(a[:, :1])], dim=1) if biased else a
