"""Fresh probes: tr H, or tr (H - G), from an independent random vector for each block of the data in the same pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.products import hessian_product, residual_product
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch

STREAM, TRIAL = "fresh probes", "fresh probes, trial"  # of the passes that are kept, and of those that choose a road
SMALLEST = 64  # samples in a block of much data: a smaller one takes more time than its share in the variance is worth
BLOCKS = (16, 128)  # fewer tell little of the standard error; more narrow it little, and each is a product of its own


@dataclass(frozen=True)
class FreshTerms:
    """The terms z_b'A_b z_b of tr A = sum_b tr A_b, with a probe z_b of its own for each block b of the data.

    A_b is the share of block b in H, or with `residual` in R = H - G. z_b has independent random signs in the entries
    of the tensors `names`, and 0 elsewhere: the terms add to the trace of A over these tensors, weight decay left out.
    One pass takes the multiplications of one product with A. Its variance is 2 sum_b |A_b|_F^2 less the squares of the
    diagonal, where one probe for all data has 2 |sum_b A_b|_F^2 less those of its diagonal: the products of different
    blocks are not in it. The blocks depend on the number of samples only (see `block_size`). A block that lies in two
    mini-batches or on two ranks has the same probe in both, so that its parts add up to its term.

    It is not an estimator of tr H^2, for which all blocks need the same probe.
    (Hutchinson 1990, for each block)
    """

    names: tuple[str, ...]
    residual: bool = False
    stream: str = STREAM

    def __call__(self, operator: LinearOperator, seed: int, ids: Sequence[int]) -> np.ndarray:
        """Return the terms of the passes `ids` by block and by layer, shape (len(ids), blocks, layers) in float64.

        The layers are those of `problem.space`; `operator` is H, and each pass counts as one product with it. Raises
        FloatingPointError where a term is not finite.
        """
        assert isinstance(operator, CountingOperator)
        assert isinstance(operator.operator, HessianOperator)
        problem = operator.operator.problem
        operator.num_matvecs += len(ids)
        total = problem.shard.add(self._over_data(problem, seed, ids))
        if not bool(total.isfinite().all()):
            raise FloatingPointError(
                f"a product in {problem.dtype} is not finite; try --dtype float64, or look at the weights"
            )
        return total.cpu().numpy()

    def _over_data(self, problem: Problem, seed: int, ids: Sequence[int]) -> Tensor:
        """Return the terms of this rank's samples."""
        size, layers = block_size(problem.num_data), list(problem.space.layers.values())
        shape = len(ids), num_blocks(problem.num_data), len(layers)
        total = torch.zeros(shape, dtype=torch.float64, device=problem.device)
        drawn, Z = -1, torch.empty(0)
        for batch in problem.own_batches():
            for block, piece in cut(batch, size):
                if block != drawn:
                    drawn, Z = block, self._probes(problem, seed, block, ids)
                product = (residual_product if self.residual else hessian_product)(problem, piece)
                for start in range(0, len(ids), problem.columns):
                    columns = slice(start, start + problem.columns)
                    terms = Z[:, columns] * product(Z[:, columns])
                    sums = [terms[layer].sum(0, dtype=torch.float64) for layer in layers]
                    total[columns, block] += torch.stack(sums, dim=1)
        return total

    def _probes(self, problem: Problem, seed: int, block: int, ids: Sequence[int]) -> Tensor:
        """Return the probes of one block, (P, len(ids)), 0 outside of the tensors `names`."""
        slices = problem.space.slices
        count = sum(slices[name].stop - slices[name].start for name in self.names)
        stream = f"{self.stream}, block {block}"
        signs = probes(count, seed, stream, ids, dtype=problem.dtype, device=problem.device)
        if count == problem.num_params:
            return signs
        Z, at = signs.new_zeros(len(ids), problem.num_params).T, 0
        for name in self.names:
            part = slices[name]
            Z[part] = signs[at : at + part.stop - part.start]
            at += part.stop - part.start
        return Z


def block_size(num_data: int) -> int:
    """Return the number of samples in a block of the data: 64, fewer for 16 blocks at least, more for at most 128.

    With blocks of b samples the variance of a pass falls by N/b / (1 + s (1/b - 1/N)), s the squared spread of the
    samples' Hessians relative to their mean, while the time of each block has a part that does not fall with b.

    Example:
        >>> block_size(10), block_size(100), block_size(1000), block_size(60_000)
        (1, 7, 63, 469)
    """
    fewest, most = BLOCKS
    return max(min(SMALLEST, -(-num_data // fewest)), -(-num_data // most))


def num_blocks(num_data: int) -> int:
    """Return the number of blocks of the data.

    Example:
        >>> num_blocks(10), num_blocks(100), num_blocks(60_000)
        (10, 15, 128)
    """
    return -(-num_data // block_size(num_data))


def cut(batch: Batch, size: int) -> Iterator[tuple[int, Batch]]:
    """Yield the parts of a batch that lie in one block of `size` samples, each with the number of its block.

    Example:
        >>> batch = Batch(torch.arange(5), torch.arange(5), start=6)
        >>> [(block, len(piece.x)) for block, piece in cut(batch, 4)]
        [(1, 2), (2, 3)]
    """
    at, end = 0, len(batch.x)
    while at < end:
        block = (batch.start + at) // size
        stop = min(end, (block + 1) * size - batch.start)
        yield block, Batch(batch.x[at:stop], batch.y[at:stop], batch.start + at)
        at = stop
