"""Ranks of many groups of rows of one matrix, modulo a prime: the inputs that a neuron sees, sample by sample."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.curvature.cell import random_residues
from scalecurv.linalg.modular_rank import SPARE, modular_rank, modular_ranks
from scalecurv.linalg.residues import matmul_mod

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
