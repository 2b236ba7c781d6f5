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


def neuron_bound(opened: OpenBatch, alive: Liveness, cells: tuple[JacobianFactors, ...]) -> Bound:
    """sum over live neurons of (rank[inputs of its live samples] - its exchanges) + C rank[inputs of the outputs].

    A neuron's columns of J are its inputs, each row times a number: their rank is that of the inputs where the
    number may be nonzero. Exchanges are counted twice in the sum, see `exchanges`. Ranks are taken modulo the primes
    of `cells`, the largest counts.
    """
    num_outputs = cells[0].rows[0].shape[1]
    total, unproven = 0, 0
    for l, live in enumerate(alive.live):
        last = l == len(alive.live) - 1
        inputs = [_beside_one(cell.inputs[l], cell.biased[l]) for cell in cells]
        nonzero = _beside_one(opened.inputs[0] != 0 if l == 0 else opened.slopes[l - 1] != 0, cells[0].biased[l])
        inner = _inner_ranks(live[:, :1] if last else live, inputs, nonzero, cells)
        total += num_outputs * int(inner.ranks.sum()) if last else int(inner.ranks.sum())
        total -= 0 if last else exchanges(opened, alive, cells, l)
        unproven += inner.unproven
    return Bound(total, unproven)


def exchanges(opened: OpenBatch, alive: Liveness, cells: tuple[JacobianFactors, ...], layer: int) -> int:
    """Directions in which a neuron of the layer takes over what another passes on, and no output moves.

    Where neurons j and k are on for the same samples of those on which j reaches an output, w_k can be added to w_j
    and taken off again behind them: w_in(j) += w_in(k), w_out(k) -= w_out(j). k = j is the rescaling; a neuron that
    is always on exchanges with the biases too. For each j as many are independent as the rank of the outputs of
    those k on the live samples of j; ordered by layers, those of different neurons and layers are.
    """
    on, reach, live = opened.slopes[layer] == 1, alive.reach[layer], alive.live[layer]
    off_here, on_here = ((reach & ~on).double(), (reach & on).double())
    same = off_here.T @ on.double() + on_here.T @ (~on).double() == 0
    biased = cells[0].biased[layer] and cells[0].biased[layer + 1]
    always = (off_here.sum(0) == 0) & biased
    partners = torch.cat([same, always[:, None]], dim=1)
    moving = (live & torch.stack([cell.inputs[layer + 1] != 0 for cell in cells]).any(0)).any(0)
    many = (partners.sum(1) > 1) & live.any(0)
    count = int((moving & ~many).sum())
    if not many.any():
        return count
    found = []
    for cell in cells:
        outputs = _beside_one(cell.inputs[layer + 1], True)
        found.append(_ranks(live[:, many], outputs, cell, int(partners[many].sum(1).max()), partners[many]))
    if any(ranks is None for ranks in found):
        return count + int((moving & many).sum())
    return count + int(torch.stack([ranks for ranks in found if ranks is not None]).max(0).values.sum())


def cell_bound(opened: OpenBatch, cells: tuple[JacobianFactors, ...]) -> Bound:
    """C sum over activation patterns of rank[inputs, 1]: within one pattern J is affine in the input."""
    num_data, num_outputs = cells[0].rows[0].shape[:2]
    which, counts = _patterns(opened)
    shared = np.flatnonzero(counts > 1)
    if not len(shared):
        return Bound(num_data * num_outputs)
    members = torch.from_numpy(which[:, None] == shared).to(opened.outputs.device)
    affine = any(bias is not None for bias in opened.biases)
    inputs = [_beside_one(cell.inputs[0], affine) for cell in cells]
    inner = _inner_ranks(members, inputs, _beside_one(opened.inputs[0] != 0, affine), cells)
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


def _inner_ranks(
    members: Tensor, inputs: list[Tensor], nonzero: Tensor, cells: tuple[JacobianFactors, ...]
) -> _InnerRanks:
    """The rank of inputs[members[:, j]] for each j: the largest over the primes, at most min(rows, nonzero columns).

    What is not `nonzero` is exactly 0, not only modulo the primes.
    """
    columns = (members.float().T @ nonzero.float() > 0).sum(1)
    most = torch.minimum(members.sum(0), columns)
    found = []
    for a, cell in zip(inputs, cells, strict=True):
        ranks = _ranks(members, a, cell, int(most.max()))
        found.append(torch.full_like(most, _of_all_rows(members, a, cell)) if ranks is None else ranks)
    ranks = torch.minimum(torch.stack(found).max(0).values, most)
    return _InnerRanks(ranks, int((ranks < most).sum()))


def _ranks(
    members: Tensor, a: Tensor, cell: JacobianFactors, most: int, columns: Tensor | None = None
) -> Tensor | None:
    """rank a[members[:, j]] modulo the cell's prime for each j, where given of its `columns[j]` only.

    From as many random combinations of rows as the rank, at most `most`, asks for; None where that is too much work.
    """
    assert cell.prime is not None
    (num_data, groups), width = members.shape, a.shape[1]
    k = min(most, width) + SPARE
    if groups * k * width * (width + num_data // 8) > WORK:
        return None
    weights = random_residues((k, num_data), cell.prime, 0, "row combinations", a.device)
    step = max(1, (1 << 25) // (k * num_data))
    ranks = []
    for i in range(0, groups, step):
        chosen = members[:, i : i + step].T[:, None, :] * weights
        stack = matmul_mod(chosen, a, cell.prime)
        ranks.append(modular_ranks(stack if columns is None else stack * columns[i : i + step, None, :], cell.prime))
    return torch.cat(ranks)


def _of_all_rows(members: Tensor, a: Tensor, cell: JacobianFactors) -> int:
    """An upper bound on the rank of every group: that of all their rows together."""
    assert cell.prime is not None
    return modular_rank(a[members.any(1)], cell.prime)


def _beside_one(a: Tensor, biased: bool) -> Tensor:
    return torch.cat([a, torch.ones_like(a[:, :1])], dim=1) if biased else a
