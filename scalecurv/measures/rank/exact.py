"""The rank of the Jacobian without a tolerance: exact arithmetic from below, structure from above."""

from dataclasses import dataclass

import torch

from scalecurv.linalg.probes import generator
from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.bounds import Bound, cell_bound, neuron_bound
from scalecurv.measures.rank.elimination import cheapest_side, combinations_fit, rows_that_fit, surest_side
from scalecurv.measures.rank.factors import cell_factors
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.measures.rank.outputs import Output, functional_ceiling, output_seeds
from scalecurv.mlp.activation_pattern import liveness, num_rescalings, num_touched
from scalecurv.mlp.layers import OpenBatch, open_batch, structure_of
from scalecurv.problem.problem import Batch, Problem
from scalecurv.problem.structure import MLP
from scalecurv.statistics.estimate import Estimate, Status

CHANCE = 1e-3  # of a rank that is certified by primes alone to be too small
FEWEST_PRIMES, MOST_PRIMES = 2, 8  # where the bounds do not meet


@dataclass(frozen=True)
class ExactRank:
    """lower <= rank J <= each of the `bounds`; `chance` is the proven probability that lower is not the rank.

    `num_touched` counts parameters whose column of J is not plainly zero, `num_rescalings` the independent
    rescalings among them; `num_samples` of `num_data` were used from below.
    """

    lower: int
    bounds: dict[str, Bound]
    chance: float
    num_primes: int
    num_touched: int
    num_rescalings: int
    num_samples: int
    num_data: int

    @property
    def structural_upper(self) -> int:
        """The least of the bounds."""
        return min(bound.value for bound in self.bounds.values())

    @property
    def estimate(self) -> Estimate:
        """`certified` where a proven bound meets lower, or primes leave a chance of at most 1e-3; else `lower_bound`.

        A prime hides some of the rank only where it divides every minor of that size. One that is not 0 has few prime
        factors, and the primes were drawn at random: the chance is (their share among all primes)^(primes drawn).
        """
        said = ", ".join(f"{name} {bound.value}" for name, bound in self.bounds.items())
        part = f", {self.num_samples} of {self.num_data} samples" if self.num_samples < self.num_data else ""
        method = f"modulo {self.num_primes} prime(s){part}; at most {said}"
        if self.chance <= CHANCE:
            status, sure = Status.CERTIFIED, 1 - self.chance
            return Estimate.enclosed(self.lower, self.lower, self.lower, method, status, confidence=sure)
        return Estimate.enclosed(self.lower, self.lower, _proven(self.bounds), method, Status.LOWER_BOUND)


def exact_rank(evaluation: Evaluation, memory: int, output: Output = "logits") -> ExactRank | None:
    """Of an MLP of positively homogeneous activations, else None; remembered. J is that of the float64 slopes."""
    mlp = homogeneous_mlp(evaluation.double)
    if mlp is None:
        return None
    return evaluation.once(
        ("exact rank", memory, output), lambda: _exact_rank(evaluation.double, mlp, evaluation.seed, memory, output)
    )


def homogeneous_mlp(problem: Problem) -> MLP | None:
    """The MLP that this model is, with hidden neurons that can be rescaled, or None."""
    mlp = structure_of(problem)
    return mlp if mlp is not None and mlp.homogeneous else None


def _exact_rank(problem: Problem, mlp: MLP, seed: int, memory: int, output: Output) -> ExactRank:
    seeds = output_seeds(problem.num_outputs, output, problem.device)
    opened = _some_samples(problem, mlp, len(seeds), seed, memory)
    complete = len(opened.outputs) == problem.num_data
    primes = random_primes(MOST_PRIMES, seed)
    alive, cell = liveness(opened), cell_factors(opened, seeds, primes[0])
    touched = alive.num_touched if complete else num_touched(problem, mlp)
    rescalings = num_rescalings(alive, cell.inputs)
    if output == "prob" and complete:  # one vector added to the weights of every output moves no difference of outputs
        touched -= int(alive.touched[-1].any(0).sum())
    bounds = {
        "rows": Bound(problem.num_data * len(seeds)),
        "ceiling": Bound(functional_ceiling(problem, mlp, output)),
        "symmetries": Bound(touched - rescalings),
    }
    widths = sum(mlp.widths[1:])
    side = cheapest_side(cell.shape, widths, _proven(bounds), memory)
    lower, used, chance = side.rank(cell), 1, 1.0
    if lower < _proven(bounds) and complete:
        cells = (cell, cell_factors(opened, seeds, primes[1]))
        more = {"cells": cell_bound(opened, cells), "neurons": neuron_bound(opened, alive, cells)}
        bounds |= {name: bound for name, bound in more.items() if bound.value >= lower or not bound.unproven}
        bits = minor_bits(opened, seeds)
        most = _proven(bounds)
        chance = side.chance(bits, most)
        side = surest_side(cell.shape, widths, most, memory)
        share = side.chance(bits, most)
        while lower < most and used < (MOST_PRIMES if share < 1 else FEWEST_PRIMES) and chance > CHANCE:
            lower = max(lower, side.rank(cell_factors(opened, seeds, primes[used])))
            chance *= share
            used += 1
    if lower == _proven(bounds):
        chance = 0.0
    return ExactRank(lower, bounds, chance, used, touched, rescalings, len(opened.outputs), problem.num_data)


def _proven(bounds: dict[str, Bound]) -> int:
    return min(bound.value for bound in bounds.values() if not bound.unproven)


def _some_samples(problem: Problem, mlp: MLP, outputs: int, seed: int, memory: int) -> OpenBatch:
    """All samples laid open where they fit: else as many as do, drawn at random."""
    whole, num_data = problem.whole, problem.num_data
    room = memory // 4 // (8 * sum(mlp.widths) * (3 + 2 * (outputs + 1)))
    if not combinations_fit(problem.num_params, problem.num_params, memory):
        room = min(room, rows_that_fit(memory) // outputs)
    count = max(1, min(num_data, room))
    if count == num_data:
        return open_batch(problem, mlp, whole)
    drawn = torch.from_numpy(generator(seed, "rank samples", 0).permutation(num_data)[:count]).to(problem.device)
    return open_batch(problem, mlp, Batch(whole.x[drawn], whole.y[drawn], 0))
