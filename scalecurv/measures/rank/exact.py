"""The rank of the Jacobian without a tolerance: a lower bound by exact arithmetic, upper bounds by structure."""

from dataclasses import dataclass

from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.bounds import Bound, neuron_bound, region_bound
from scalecurv.measures.rank.elimination import cheapest_side, combinations_fit, rows_that_fit, surest_side
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.measures.rank.outputs import Output, functional_ceiling, output_seeds
from scalecurv.measures.rank.sample import allowed_work, most_samples, opened_sample, share_of
from scalecurv.mlp.activation_pattern import activation_pattern, num_rescalings, num_touched
from scalecurv.mlp.layers import OpenBatch, homogeneous_mlp
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import MLP
from scalecurv.statistics.estimate import Estimate, Status

CHANCE = 1e-3  # largest chance of being too small of a rank that primes alone certify
FEWEST_PRIMES, MOST_PRIMES = 2, 8  # primes that are tried where the bounds do not meet


@dataclass(frozen=True)
class ExactRank:
    """Bounds on the rank of J: lower <= rank J <= each of the `bounds`.

    chance: a proven bound on the probability that `lower` is less than the rank.
    num_primes: the number of primes modulo which the rank was computed.
    num_touched: the number of parameters whose column of J is not zero by the activation pattern alone.
    num_rescalings: the number of independent rescalings among them.
    num_samples, num_data: the number of samples that the lower bound used, and of all samples.
    part: what the method says of them where they are not all.
    """

    lower: int
    bounds: dict[str, Bound]
    chance: float
    num_primes: int
    num_touched: int
    num_rescalings: int
    num_samples: int
    num_data: int
    part: str = ""

    @property
    def structural_upper(self) -> int:
        """Return the least of the upper bounds."""
        return min(bound.value for bound in self.bounds.values())

    @property
    def estimate(self) -> Estimate:
        """Return the rank as `certified` where a proven bound meets `lower` or `chance` <= 1e-3, else as `lower_bound`.

        The rank modulo a prime is too small only where the prime divides every minor of the size of the rank. A minor
        that is not 0 has few prime factors, and the primes are drawn at random: the chance is (the share of its factors
        among all primes)^(primes drawn).
        """
        listed = ", ".join(f"{name} {bound.value}" for name, bound in self.bounds.items())
        method = f"modulo {self.num_primes} prime(s){self.part}; at most {listed}"
        if self.chance <= CHANCE:
            status, sure = Status.CERTIFIED, 1 - self.chance
            return Estimate.enclosed(self.lower, self.lower, self.lower, method, status, confidence=sure)
        return Estimate.enclosed(self.lower, self.lower, _proven(self.bounds), method, Status.LOWER_BOUND)


@remembered
def exact_rank(
    evaluation: Evaluation, memory: int, output: Output = "logits", samples: int | None = None
) -> ExactRank | None:
    """Return bounds on rank J for an MLP of positively homogeneous activations, by exact arithmetic; remembered.

    The slopes of activations are those that float64 decides. At most `samples` samples are taken, by default as many as
    `allowed_work` lets. None for any other model. Raises Misuse for an `output` that is not known, or that the model
    does not have.
    """
    mlp = homogeneous_mlp(evaluation.double)
    return None if mlp is None else _exact_rank(evaluation.double, mlp, evaluation.seed, memory, output, samples)


def _exact_rank(problem: Problem, mlp: MLP, seed: int, memory: int, output: Output, samples: int | None) -> ExactRank:
    seeds = output_seeds(problem.num_outputs, output, problem.device)
    opened, part = _some_samples(problem, mlp, len(seeds), seed, memory, samples)
    complete = len(opened.outputs) == problem.num_data
    primes = random_primes(MOST_PRIMES, seed)
    pattern, factors = activation_pattern(opened), region_factors(opened, seeds, primes[0])
    touched = pattern.num_touched if complete else num_touched(problem, mlp)
    rescalings = num_rescalings(pattern, factors.inputs)
    if output == "prob" and complete:  # adding one vector to the weights of every output changes no difference
        touched -= int(pattern.touched[-1].any(0).sum())
    bounds = {
        "rows": Bound(problem.num_data * len(seeds)),
        "ceiling": Bound(functional_ceiling(problem, mlp, output)),
        "symmetries": Bound(touched - rescalings),
    }
    widths = sum(mlp.widths[1:])
    side = cheapest_side(factors.shape, widths, _proven(bounds), memory)
    lower, used, chance = side.rank(factors), 1, 1.0
    if lower < _proven(bounds) and complete:
        by_prime = (factors, region_factors(opened, seeds, primes[1]))
        more = {"cells": region_bound(opened, by_prime), "neurons": neuron_bound(opened, pattern, by_prime)}
        bounds |= {name: bound for name, bound in more.items() if bound.value >= lower or not bound.unproven}
        bits = minor_bits(opened, seeds)
        most = _proven(bounds)
        chance = side.chance(bits, most)
        side = surest_side(factors.shape, widths, most, memory)
        share = side.chance(bits, most)
        while lower < most and used < (MOST_PRIMES if share < 1 else FEWEST_PRIMES) and chance > CHANCE:
            lower = max(lower, side.rank(region_factors(opened, seeds, primes[used])))
            chance *= share
            used += 1
    if lower == _proven(bounds):
        chance = 0.0
    return ExactRank(lower, bounds, chance, used, touched, rescalings, len(opened.outputs), problem.num_data, part)


def _proven(bounds: dict[str, Bound]) -> int:
    """Return the least of the bounds that hold for certain."""
    return min(bound.value for bound in bounds.values() if not bound.unproven)


def _some_samples(
    problem: Problem, mlp: MLP, outputs: int, seed: int, memory: int, samples: int | None
) -> tuple[OpenBatch, str]:
    """Return the activations of all samples, or of a random draw whose memory and work are allowed."""
    problem.shard.refuse("the exact rank")
    count, room, _ = elimination_plan(problem, mlp, outputs, memory, samples)
    return opened_sample(problem, mlp, count, seed), share_of(count, problem.num_data, room, samples)


def elimination_plan(
    problem: Problem, mlp: MLP, outputs: int, memory: int, samples: int | None
) -> tuple[int, int, float]:
    """Return the number of samples taken, the number that fits, and the operations of one elimination."""
    num_params, widths = problem.num_params, sum(mlp.widths)
    room = memory // 4 // (8 * widths * (3 + 2 * (outputs + 1)))
    if not combinations_fit(num_params, num_params, memory):
        room = min(room, rows_that_fit(memory) // outputs)
    room = max(1, min(problem.num_data, room))

    def operations(count: int) -> float:
        rows = count * outputs
        return 2 * cheapest_side((rows, num_params), widths - mlp.widths[0], min(rows, num_params), memory).cost

    work = allowed_work(problem, outputs, room, samples)
    count = most_samples(min(room, samples or room), operations, work)
    return count, room, operations(count)
