"""Upper bounds on the rank of J from the structure of an MLP: by neurons, and by regions of inputs.

They rest on the ranks of a layer's inputs over groups of samples, and on exchanges between neurons that move no output.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.modular_rank import SPARE, modular_rank, modular_ranks
from scalecurv.linalg.residues import matmul_mod
from scalecurv.measures.rank.factors import JacobianFactors, random_residues
from scalecurv.mlp.activation_pattern import ActivationPattern
from scalecurv.mlp.layers import OpenBatch

WORK = 1 << 30  # multiplications that the groups of a layer may take; beyond, one bound serves all of them
NUMBERS = 1 << 23  # entries of matrices that are in memory at once
WIDEST = 2048  # neurons of the widest layer whose neurons are compared two by two
MEMBERS = 1 << 25  # entries of the table of samples by patterns


@dataclass(frozen=True)
class Bound:
    """An upper bound `value` on the rank of J, which holds if all inner ranks that it is computed from are right.

    `unproven` of them are right with high probability only, see `InnerRanks`.
    """

    value: int
    unproven: int = 0


def neuron_bound(opened: OpenBatch, pattern: ActivationPattern, by_prime: tuple[JacobianFactors, ...]) -> Bound:
    """Return the bound sum_j (rank[inputs of j on its live samples] - exchanges of j) + C rank[inputs of the outputs].

    The sum is over live hidden neurons j. The columns of J of a neuron are its inputs, each row times a number: their
    rank is at most that of the inputs where the number may be nonzero. The sum of ranks counts the directions of
    `exchanges` twice.
    """
    num_outputs, primes = by_prime[0].rows[0].shape[1], tuple(factors.modulus for factors in by_prime)
    total, unproven = 0, 0
    for l, live in enumerate(pattern.live):
        last = l == len(pattern.live) - 1
        inputs = [beside_one(factors.inputs[l], factors.biased[l]) for factors in by_prime]
        nonzero = beside_one(opened.inputs[0] != 0 if l == 0 else opened.slopes[l - 1] != 0, by_prime[0].biased[l])
        inner = inner_ranks(live[:, :1] if last else live, inputs, nonzero, primes)
        total += num_outputs * int(inner.ranks.sum()) if last else int(inner.ranks.sum())
        total -= 0 if last else exchanges(opened, pattern, by_prime, l)
        unproven += inner.unproven
    return Bound(total, unproven)


def region_bound(opened: OpenBatch, by_prime: tuple[JacobianFactors, ...]) -> Bound:
    """Return the bound C sum_p rank[inputs, 1] over activation patterns p, as J is affine in the input within each."""
    num_data, num_outputs = by_prime[0].rows[0].shape[:2]
    which, counts = _patterns(opened)
    shared = np.flatnonzero(counts > 1)
    if not len(shared):
        return Bound(num_data * num_outputs)
    if len(which) * len(shared) > MEMBERS:  # min(rows, columns) in place of ranks
        return Bound(num_outputs * int(np.minimum(counts, opened.inputs[0].shape[1] + 1).sum()))
    members = torch.from_numpy(which[:, None] == shared).to(opened.outputs.device)
    affine = any(bias is not None for bias in opened.biases)
    inputs = [beside_one(factors.inputs[0], affine) for factors in by_prime]
    primes = tuple(factors.modulus for factors in by_prime)
    inner = inner_ranks(members, inputs, beside_one(opened.inputs[0] != 0, affine), primes)
    return Bound(num_outputs * (int((counts == 1).sum()) + int(inner.ranks.sum())), inner.unproven)


def _patterns(opened: OpenBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each sample's activation pattern, (N,), and how many samples have each pattern."""
    if not opened.slopes:
        return np.zeros(len(opened.outputs), dtype=int), np.array([len(opened.outputs)])
    bits = np.packbits(torch.cat([slope == 1 for slope in opened.slopes], dim=1).cpu().numpy(), axis=1)
    _, which, counts = np.unique(bits, axis=0, return_inverse=True, return_counts=True)
    return which.reshape(-1), counts


def exchanges(opened: OpenBatch, pattern: ActivationPattern, by_prime: tuple[JacobianFactors, ...], layer: int) -> int:
    """Return the number of independent directions that exchange weights between neurons of a layer, moving no output.

    Let neurons j and k be on for the same samples among those on which j reaches an output. Then adding w_in(k) to
    w_in(j) and subtracting w_out(j) from w_out(k) moves no output. k = j is the rescaling of j, and a neuron that is
    always on exchanges with the biases too. For each j the number of independent exchanges is the rank of the outputs
    of its partners k on the live samples of j; those of different neurons and layers are independent.
    """
    live = pattern.live[layer]
    moving = (live & torch.stack([factors.inputs[layer + 1] != 0 for factors in by_prime]).any(0)).any(0)
    partners = _partners(opened, pattern, layer)
    many = live.any(0) if partners is None else (partners.sum(1) > 1) & live.any(0)
    if partners is None or not many.any():
        return int(moving.sum())
    found = []
    for factors in by_prime:
        outputs = beside_one(factors.inputs[layer + 1], True)
        most = int(partners[many].sum(1).max())
        ranks = group_ranks(live[:, many], outputs, factors.modulus, most, partners[many])
        found.append(moving[many].to(torch.int64) if ranks is None else ranks)
    return int((moving & ~many).sum()) + int(torch.stack(found).max(0).values.sum())


def _partners(opened: OpenBatch, pattern: ActivationPattern, layer: int) -> Tensor | None:
    """Return which neurons k, and in the last column the biases, neuron j can exchange with, shape (n, n + 1).

    None for a layer of more than WIDEST neurons.
    """
    on, reach = opened.slopes[layer] == 1, pattern.reach[layer]
    if on.shape[1] > WIDEST:
        return None
    off_here, on_here = (reach & ~on).float(), (reach & on).float()
    same = off_here.T @ on.float() + on_here.T @ (~on).float() == 0
    biased = opened.biases[layer] is not None and opened.biases[layer + 1] is not None
    return torch.cat([same, ((off_here.sum(0) == 0) & biased)[:, None]], dim=1)


@dataclass(frozen=True)
class InnerRanks:
    """The ranks (g,) of a layer's inputs over g groups of samples, as the largest modulo the primes.

    `unproven` counts those that are less than min(rows, nonzero columns). The rank modulo a prime may be too small, so
    that these are right with high probability only; the others are certain.
    """

    ranks: Tensor
    unproven: int


def inner_ranks(members: Tensor, inputs: list[Tensor], nonzero: Tensor, primes: tuple[int, ...]) -> InnerRanks:
    """Return the rank of inputs[members[:, j]] for each group j, at most min(rows, nonzero columns).

    `members` (N, g) tells which samples are in each group, and `inputs` holds the residues (N, n) for each prime. An
    entry that is not `nonzero` is exactly 0, not only modulo the primes.
    """
    columns = (members.float().T @ nonzero.float() > 0).sum(1)
    most = torch.minimum(members.sum(0), columns)
    found = []
    for a, prime in zip(inputs, primes, strict=True):
        ranks = group_ranks(members, a, prime, int(most.max()))
        found.append(torch.full_like(most, _rank_of_all_rows(members, a, prime)) if ranks is None else ranks)
    ranks = torch.minimum(torch.stack(found).max(0).values, most)
    return InnerRanks(ranks, int((ranks < most).sum()))


def group_ranks(members: Tensor, a: Tensor, prime: int, most: int, columns: Tensor | None = None) -> Tensor | None:
    """Return the rank of a[members[:, j]] modulo the prime for each group j, of its `columns[j]` alone if given.

    It comes from the rows where these are few, else from as many random combinations of them as a rank of at most
    `most` needs. None where that takes more than WORK multiplications.
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
    """Return a[chosen[j]] for each group j, shape (g, k, n), zeros below; no group has more than k rows."""
    is_member, which = chosen.to(torch.uint8).topk(min(k, chosen.shape[1]))
    return a[which] * is_member[:, :, None]


def _rank_of_all_rows(members: Tensor, a: Tensor, prime: int) -> int:
    """Return the rank of the rows of all groups together, an upper bound on that of each."""
    return modular_rank(a[members.any(1)], prime)


def beside_one(a: Tensor, biased: bool) -> Tensor:
    """Return (a, 1) where there is a bias that the 1 multiplies, else a."""
    return torch.cat([a, torch.ones_like(a[:, :1])], dim=1) if biased else a
