"""Upper bounds on the rank of J from the structure of an MLP, neuron by neuron and cell by cell."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.modular_rank import SPARE, modular_rank, modular_ranks
from scalecurv.linalg.residues import matmul_mod
from scalecurv.measures.rank.factors import JacobianFactors, random_residues
from scalecurv.mlp.activation_pattern import Liveness
from scalecurv.mlp.layers import OpenBatch

WORK = 1 << 30  # multiplications that the groups of a layer may take; beyond, one bound stands for all of them
NUMBERS = 1 << 23  # alive at once


@dataclass(frozen=True)
class InnerRanks:
    """`ranks` (g,) modulo the primes; `unproven` counts those below what rows and nonzero columns allow.

    Residues can be short of the rank, so that these hold with high probability only; the others are certain.
    """

    ranks: Tensor
    unproven: int


def inner_ranks(members: Tensor, inputs: list[Tensor], nonzero: Tensor, primes: tuple[int, ...]) -> InnerRanks:
    """The rank of inputs[members[:, j]] for each j: the largest over the primes, at most min(rows, nonzero columns).

    What is not `nonzero` is exactly 0, not only modulo the primes.
    """
    columns = (members.float().T @ nonzero.float() > 0).sum(1)
    most = torch.minimum(members.sum(0), columns)
    found = []
    for a, prime in zip(inputs, primes, strict=True):
        ranks = group_ranks(members, a, prime, int(most.max()))
        found.append(torch.full_like(most, _of_all_rows(members, a, prime)) if ranks is None else ranks)
    ranks = torch.minimum(torch.stack(found).max(0).values, most)
    return InnerRanks(ranks, int((ranks < most).sum()))


def group_ranks(members: Tensor, a: Tensor, prime: int, most: int, columns: Tensor | None = None) -> Tensor | None:
    """rank a[members[:, j]] modulo the prime for each j, where given of its `columns[j]` only.

    From the rows themselves where they are few, else from as many random combinations of them as the rank, at most
    `most`, asks for; None where that is too much work.
    """
    (num_data, groups), width = members.shape, a.shape[1]
    k = min(most, width) + SPARE
    whole = int(members.sum(0).max()) <= k
    if groups * k * width * (width if whole else width + num_data // 8) > WORK:
        return None
    weights = None if whole else random_residues((k, num_data), prime, 0, "row combinations", a.device)
    step = max(1, NUMBERS // (k * (width if whole else num_data)))
    ranks = []
    for i in range(0, groups, step):
        chosen = members[:, i : i + step].T.contiguous()
        stack = _rows(chosen, a, k) if weights is None else matmul_mod(chosen[:, None, :] * weights, a, prime)
        ranks.append(modular_ranks(stack if columns is None else stack * columns[i : i + step, None, :], prime))
    return torch.cat(ranks)


def _rows(chosen: Tensor, a: Tensor, k: int) -> Tensor:
    """a[chosen[j]] for each j, (g, k, n), zeros below; no j has more than k."""
    taken, which = chosen.to(torch.uint8).topk(min(k, chosen.shape[1]))
    return a[which] * taken[:, :, None]


def _of_all_rows(members: Tensor, a: Tensor, prime: int) -> int:
    """An upper bound on the rank of every group: that of all their rows together."""
    return modular_rank(a[members.any(1)], prime)


def beside_one(a: Tensor, biased: bool) -> Tensor:
    """(a, 1) where there is a bias to multiply the 1, else a."""
    return torch.cat([a, torch.ones_like(a[:, :1])], dim=1) if biased else a


WIDEST = 2048  # neurons of a layer that are compared two by two


def exchanges(opened: OpenBatch, alive: Liveness, cells: tuple[JacobianFactors, ...], layer: int) -> int:
    """Directions in which a neuron of the layer takes over what another passes on, and no output moves.

    Where neurons j and k are on for the same samples of those on which j reaches an output, w_k can be added to w_j
    and taken off again behind them: w_in(j) += w_in(k), w_out(k) -= w_out(j). k = j is the rescaling; a neuron that
    is always on exchanges with the biases too. For each j as many are independent as the rank of the outputs of
    those k on the live samples of j; ordered by layers, those of different neurons and layers are.
    """
    live = alive.live[layer]
    moving = (live & torch.stack([cell.inputs[layer + 1] != 0 for cell in cells]).any(0)).any(0)
    partners = _partners(opened, alive, layer)
    many = live.any(0) if partners is None else (partners.sum(1) > 1) & live.any(0)
    if partners is None or not many.any():
        return int(moving.sum())
    found = []
    for cell in cells:
        outputs = beside_one(cell.inputs[layer + 1], True)
        most = int(partners[many].sum(1).max())
        ranks = group_ranks(live[:, many], outputs, cell.modulus, most, partners[many])
        found.append(moving[many].to(torch.int64) if ranks is None else ranks)
    return int((moving & ~many).sum()) + int(torch.stack(found).max(0).values.sum())


def _partners(opened: OpenBatch, alive: Liveness, layer: int) -> Tensor | None:
    """Row j (n + 1): the neurons k that j can exchange with, the biases last; None for a layer too wide to compare."""
    on, reach = opened.slopes[layer] == 1, alive.reach[layer]
    if on.shape[1] > WIDEST:
        return None
    off_here, on_here = (reach & ~on).float(), (reach & on).float()
    same = off_here.T @ on.float() + on_here.T @ (~on).float() == 0
    biased = opened.biases[layer] is not None and opened.biases[layer + 1] is not None
    return torch.cat([same, ((off_here.sum(0) == 0) & biased)[:, None]], dim=1)


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
