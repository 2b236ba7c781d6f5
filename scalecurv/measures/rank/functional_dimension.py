"""A lower bound on the functional dimension, the largest rank of J over batches of any inputs at this theta.

It tries the data, Gaussian and heavy-tailed inputs, and points on either side of the folds of a first layer.
"""

import math

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.probes import generator
from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import Side, cheapest_side
from scalecurv.measures.rank.exact import exact_rank
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.outputs import Output, functional_ceiling, output_seeds
from scalecurv.mlp.activation_pattern import ROUNDING, kink_margin, kink_margins
from scalecurv.mlp.layers import homogeneous_mlp, open_batch
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch
from scalecurv.statistics.estimate import Estimate, Status

SAME_FOLD = 1e-9  # relative distance below which two folds are the same one up to rounding
FACTOR = 4  # growth of the number of inputs from one try to the next
WORK = 2e12  # multiplications of one rank, about a minute on two cores: larger batches are not tried


def functional_dimension(evaluation: Evaluation, memory: int, output: Output, samples: int | None = None) -> Estimate:
    """Return the largest rank of J at this theta over batches of data, Gaussian, heavy-tailed and decisive inputs.

    It is a lower bound on the functional dimension, the supremum over all batches (Grigsby, Lindsey, Meyerhoff and Wu
    2022, arXiv 2209.04036). Batches grow until the rank meets the ceiling P - h or stops growing. Inputs within
    rounding of a fold are left out, as J is one-sided there. The rank on the data takes `samples` samples
    of them, see `exact_rank`.
    """
    problem, mlp = evaluation.double, homogeneous_mlp(evaluation.double)
    assert mlp is not None
    search = _Search(evaluation, mlp, memory, output)
    found: dict[str, int] = {}
    if kink_margin(problem, mlp) > ROUNDING:
        exact = exact_rank(evaluation, memory, output, samples)
        assert exact is not None
        found["data"] = exact.lower
    decisive = 2 * mlp.num_hidden * (mlp.widths[0] + 1)
    if len(mlp.layers) == 2 and max(found.values(), default=0) < search.ceiling and search.cost(decisive) <= WORK:
        name = f"{mlp.layers[0]}."
        parts = problem.space.unflatten(problem.theta)
        points = decisive_inputs(parts[name + "weight"], parts.get(name + "bias"), evaluation.seed)
        found["decisive"] = search.rank(points)
    count, before = math.ceil(2 * search.ceiling / search.num_outputs), 0
    while max(found.values(), default=0) < search.ceiling and search.cost(count) <= WORK:
        tried = {name: search.rank(draw(count, mlp.widths[0], evaluation.seed)) for name, draw in INPUTS.items()}
        found |= {name: max(rank, found.get(name, 0)) for name, rank in tried.items()}
        if max(tried.values()) <= before:
            break
        before, count = max(tried.values()), FACTOR * count
    best = max(found.values(), default=0)
    shown = ", ".join(f"{name} {rank}" for name, rank in found.items()) or "nothing"
    status = Status.CERTIFIED if best == search.ceiling else Status.LOWER_BOUND
    return Estimate.enclosed(best, best, search.ceiling, f"best of {shown}", status)


class _Search:
    """The ranks of one network on batches of given inputs, with their costs."""

    def __init__(self, evaluation: Evaluation, mlp: MLP, memory: int, output: Output):
        self._problem, self._mlp, self._memory = evaluation.double, mlp, memory
        self._seeds = output_seeds(self._problem.num_outputs, output, self._problem.device)
        self._prime = random_primes(1, evaluation.seed)[0]
        self.ceiling = functional_ceiling(self._problem, mlp, output)
        self.num_outputs = len(self._seeds)

    def cost(self, count: int) -> float:
        """Return the multiplications that the rank on `count` inputs takes; infinity where memory is too small."""
        shape = (count * self.num_outputs, self._mlp.num_params)
        if 8 * count * sum(self._mlp.widths) * 2 * (self.num_outputs + 1) > self._memory:
            return math.inf
        side = self._side(shape, min(self.ceiling, shape[0]))
        return side.cost if side.fits(self._memory) else math.inf

    def rank(self, x: Tensor) -> int:
        """Return the rank of J on those of the inputs x (n, d) that lie further than rounding from every fold."""
        x = x.to(self._problem.device)
        opened = open_batch(self._problem, self._mlp, Batch(x, x, 0))
        clear = kink_margins(opened, self._mlp) > ROUNDING
        if not bool(clear.any()):
            return 0
        if not bool(clear.all()):
            opened = open_batch(self._problem, self._mlp, Batch(x[clear], x[clear], 0))
        factors = region_factors(opened, self._seeds, self._prime)
        most = min(self.ceiling, factors.shape[0])
        return self._side(factors.shape, most).rank(factors)

    def _side(self, shape: tuple[int, int], most: int) -> Side:
        return cheapest_side(shape, sum(self._mlp.widths[1:]), most, self._memory)


def gaussian_inputs(count: int, width: int, seed: int) -> Tensor:
    """Return x ~ N(0, I), shape (count, width), float64."""
    return torch.from_numpy(generator(seed, "gaussian inputs", 0).standard_normal((count, width)))


def heavy_tailed_inputs(count: int, width: int, seed: int) -> Tensor:
    """Return x 10^u, shape (count, width), float64, with x ~ N(0, I) and u uniform in [-2, 2] for each row.

    They lie near the folds of small biases, and far beyond all folds.
    """
    rng = generator(seed, "heavy-tailed inputs", 0)
    return torch.from_numpy(rng.standard_normal((count, width)) * 10 ** rng.uniform(-2, 2, (count, 1)))


def decisive_inputs(weight: Tensor, bias: Tensor | None, seed: int) -> Tensor:
    """Return d + 1 points on either side of the fold w'x + b = 0 of every neuron of a first layer, float64.

    `weight` is (h, d) and `bias` (h,). The points lie within half the distance to the nearest other fold, so that each
    pair of sides differs in one neuron alone. On them the rank of a generic network of one hidden layer is P - h, as
    the jump of f and of its gradient across each fold determines the neuron up to its rescaling.
    """
    W = weight.double().cpu().numpy()
    b = np.zeros(len(W)) if bias is None else bias.double().cpu().numpy()
    rng = generator(seed, "decisive inputs", 0)
    sizes = np.linalg.norm(W, axis=1)
    width, points = W.shape[1], [np.empty((0, W.shape[1]))]
    for j in np.flatnonzero(sizes):
        normal = W[j] / sizes[j]
        x = rng.standard_normal(width)
        x -= normal * (W[j] @ x + b[j]) / sizes[j]
        others = np.flatnonzero(sizes)[np.flatnonzero(sizes) != j]
        distances = np.abs(W[others] @ x + b[others]) / sizes[others]
        apart = distances > SAME_FOLD * (1 + np.linalg.norm(x))
        room = 0.5 * min([1.0, *distances[apart]])
        for side in (1, -1):
            steps = rng.standard_normal((width + 1, width))
            steps *= 0.4 / np.linalg.norm(steps, axis=1, keepdims=True)
            steps[-1] = 0
            points.append(x + room * (0.5 * side * normal + steps))
    return torch.from_numpy(np.concatenate(points))


# name in the method -> draw(count, width, seed)
INPUTS = {"Gaussian": gaussian_inputs, "heavy-tailed": heavy_tailed_inputs}
