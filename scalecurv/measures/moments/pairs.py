"""|G|_F^2 from pairs of samples that are drawn by their share of tr G, and |H|_F^2 - |G|_F^2 from common probes.

With G = sum_i G_i, T_i = tr G_i and independent draws i, j of probability p_i, |G|_F^2 = E tr(G_i G_j) / (p_i p_j).
For p_i = T_i / T each term is T^2 times a number in [0, 1], so that few draws do, whatever the number of samples is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import dots
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.draws import Weights
from scalecurv.operators.sample_gradients import SampleRows, layer_names, row_size, sample_rows
from scalecurv.operators.split import SplitOperator
from scalecurv.problem.drawn import drawn_samples
from scalecurv.problem.problem import Problem
from scalecurv.statistics.pairs import Part, mean_part, pair_part
from scalecurv.statistics.stopping import FIRST_LOOK

STREAM = "common probes"  # none of the stream of the draws: they must be independent
TILES = (32, 256)  # draws whose inner products are taken together, at least and at most
KEPT = 4  # of `memory` that rows may take between two looks


class PairSums:
    """Sums over pairs of draws of the kernel (u_a.u_b)^2 / (p_a p_b), u_a = sqrt(c) J_i'F_i s_a for signs s_a.

    E u_a u_a' = G_i. A sample that is drawn twice counts as a pair, as its signs are independent. With `every` the
    kernel takes all columns of F_i in the place of random ones: it is tr(G_a G_b) / (p_a p_b). Layers have the kernel
    (u_a.u_b) (u_a.u_b)_g / (p_a p_b), whose mean is the squared norm of their rows of G.
    """

    def __init__(self, evaluation: Evaluation, weights: Weights, ends: Sequence[int], every: bool = False):
        self._problem, self._seed, self._weights, self._every = evaluation.double, evaluation.seed, weights, every
        self._blocks = _tiles(ends, tile_of(self._problem))
        self._kept: list[SampleRows | None] = []  # of the first blocks; None on ranks that compute none
        self._looks = [np.zeros((2, 1 + len(layer_names(self._problem)), 0))]

    def upto(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums over the other draws, and c |u_a|^2 / p_a, of each draw, for the whole model and by layer.

        Both are (1 + L, count); `count` is one of the ends that the sums were made for.
        """
        while self._looks[-1].shape[2] < count:
            self._extend()
        sums, squares = next(look for look in self._looks if look.shape[2] == count)
        return sums, squares

    def _extend(self) -> None:
        """Add the pairs of the next block of draws; rank 0 computes them, as rounding may differ between ranks."""
        shard, before = self._problem.shard, self._looks[-1]
        low, high = self._blocks[len(self._looks) - 1]
        added = np.zeros((2, before.shape[1], high))
        new = self._rows(low, high)
        for j, (start, stop) in enumerate(self._blocks[: len(self._looks) - 1]):
            old = self._kept[j] if j < len(self._kept) else self._rows(start, stop)  # on all ranks, which exchange them
            if new is None or old is None:
                continue
            kernel = self._kernel(new.grams(old))
            added[0, :, start:stop] += kernel.sum(1)
            added[0, :, low:high] += kernel.sum(2)
        if self._fits(high):
            self._kept.append(new)
        if new is not None:
            grams = new.grams(new)
            kernel, own = self._kernel(grams), np.arange(high - low)
            kernel[:, own, own] = 0.0
            added[0, :, low:high] += kernel.sum(2)
            squares = grams.diagonal(dim1=1, dim2=2).cpu().numpy().reshape(len(grams), high - low, -1).sum(2)
            added[1, :, low:high] = np.concatenate([squares.sum(0, keepdims=True), squares])
        added = shard.add(torch.from_numpy(added).to(self._problem.device)).cpu().numpy()
        added[:, :, :low] += before
        self._looks.append(added)

    def _kernel(self, grams: Tensor) -> np.ndarray:
        """Return the kernel of each pair, for the whole model and by layer, (1 + L, n, n'), from (L, n q, n' q)."""
        whole = grams.sum(0, keepdim=True)
        products = torch.cat([whole * whole, whole * grams])
        q = self._problem.num_outputs if self._every else 1
        return products.unflatten(1, (-1, q)).unflatten(3, (-1, q)).sum((2, 4)).cpu().numpy()

    def _rows(self, low: int, high: int) -> SampleRows | None:
        """Return u_a / sqrt(p_a) of these draws; None on a rank that only hands its samples on."""
        numbers, signs = self._weights.draws(self._seed, range(low, high), self._problem.num_outputs)
        problem = self._problem
        batch = drawn_samples(problem, torch.from_numpy(numbers).to(problem.device))
        if problem.shard.rank:
            return None
        assert problem.loss.factor is not None
        with torch.no_grad():
            factors = problem.loss.factor(problem.outputs(problem.theta, batch.x), batch.y)
        columns = factors if self._every else factors @ torch.from_numpy(signs).to(factors)[:, :, None]
        sizes = np.sqrt(problem.scale / self._weights.probabilities[numbers])
        weighed = columns * torch.from_numpy(sizes).to(factors)[:, None, None]
        return sample_rows(problem, batch, weighed.transpose(1, 2))

    def _fits(self, count: int) -> bool:
        """Return True where the rows of the first `count` draws are kept, as they fit into memory; alike on all ranks.

        The rows of other draws are computed anew for each block after them.
        """
        q = self._problem.num_outputs if self._every else 1
        return 8 * count * q * row_size(self._problem) <= self._problem.memory // KEPT


def tile_of(problem: Problem) -> int:
    """Return the number of draws in a tile, 0 where not even the smallest tile's rows fit into half of the memory.

    Two tiles are there at a time, in float64, and what one of them is made from.
    """
    fits = problem.memory // (4 * 8 * row_size(problem))
    return min(fits, TILES[1]) if fits >= TILES[0] else 0


def _tiles(ends: Sequence[int], tile: int) -> list[tuple[int, int]]:
    """Return the blocks of draws that end at each of `ends`, in tiles of at most `tile`.

    Example:
        >>> _tiles([32, 64, 400], 256)
        [(0, 32), (32, 64), (64, 320), (320, 400)]
    """
    bounds = [0]
    for end in ends:
        bounds += [*range(bounds[-1] + tile, end, tile), end]
    return list(pairwise(bounds))


@dataclass(frozen=True)
class DifferenceTerms:
    """The terms Rz.(2 Gz + Rz) = |Hz|^2 - |Gz|^2 of the whole model and of layers: ranges of rows (start, stop)."""

    layers: tuple[tuple[int, int], ...]

    def __call__(self, operator: Operand, seed: int, ids: Sequence[int]) -> np.ndarray:
        """Return one row for each probe id, (len(ids), 1 + L), from products with `SplitOperator`."""
        operator = aslinearoperator(operator)
        Z = probes(operator.shape[1], seed, STREAM, ids, "rademacher", operator.dtype, operator.device)
        R, G = operator.matmat(Z).chunk(2)
        other = R + 2 * G
        columns = [dots(R[start:stop], other[start:stop]) for start, stop in ((0, len(R)), *self.layers)]
        return torch.stack(columns, dim=1).cpu().numpy()


def difference_parts(evaluation: Evaluation, count: int) -> list[Part]:
    """Return |H|_F^2 - |G|_F^2 for the whole model, then by layer, from `count` common probes."""
    problem = evaluation.double
    places = tuple((problem.space.layers[name].start, problem.space.layers[name].stop) for name in layer_names(problem))
    rows = evaluation.terms(count, DifferenceTerms(places), SplitOperator, double=True)
    return [mean_part(column) for column in rows.T]


def pair_parts(evaluation: Evaluation, sums: PairSums, weights: Weights, count: int) -> list[Part]:
    """Return |G|_F^2 for the whole model, then the squared norms of the rows of each layer, from `count` draws.

    Weight decay w adds 2 w tr G + w^2 P to the whole, exactly; for layers tr G_gg comes from the same draws.
    """
    problem = evaluation.double
    w, P = problem.weight_decay, problem.num_params
    others, squares = sums.upto(count)
    means = others / (count - 1)
    parts = [pair_part(means[0]).shifted(2 * w * weights.total + w * w * P)]
    for name, mean, square in zip(layer_names(problem), means[1:], squares[1:], strict=True):
        size = problem.space.layers[name].stop - problem.space.layers[name].start
        along = w * (square + (square.sum() - square) / (count - 1))
        parts.append(pair_part(mean + along).shifted(w * w * size))
    return parts


def looks_upto(most: int) -> list[int]:
    """Return 32, 64, 128, ... below `most`, and `most` itself: the numbers of draws at which to look.

    Example:
        >>> looks_upto(100)
        [32, 64, 100]
    """
    ends = [FIRST_LOOK]
    while ends[-1] < most:
        ends.append(2 * ends[-1])
    return [end for end in ends if end < most] + [most]
