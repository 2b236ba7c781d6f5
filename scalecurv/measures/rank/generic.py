"""The rank that almost all parameters with the same activation pattern have, and this point may fall short of."""

from dataclasses import replace

import torch

from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import cheapest_side
from scalecurv.measures.rank.exact import CHANCE, ExactRank, homogeneous_mlp
from scalecurv.measures.rank.factors import cell_factors
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.measures.rank.outputs import Output, output_seeds
from scalecurv.mlp.activation_pattern import liveness, num_rescalings
from scalecurv.mlp.layers import OpenBatch, open_batch
from scalecurv.statistics.estimate import Estimate, Status

PRIMES = 2


def generic_rank(evaluation: Evaluation, exact: ExactRank, memory: int, output: Output) -> Estimate:
    """The largest rank of J over all weights and biases, the slopes frozen as they are: that of random residues.

    A minor of J J' that is not zero everywhere in the cell is a polynomial, of degree at most 2 r in each parameter
    and 2 (L - 1) r in all. For some whole parameters up to 2 r it is not zero, and small enough by Hadamard's bound
    that few primes divide it; for the others random residues make it zero with a chance of at most 2 (L - 1) r / p
    (Schwartz 1980; Zippel 1979). Asked of all samples only: where `exact` saw a part of them there is no answer.
    """
    problem, mlp = evaluation.double, homogeneous_mlp(evaluation.double)
    assert mlp is not None
    if exact.num_samples < exact.num_data:
        return Estimate.not_applicable("not all samples fit into --memory")
    if exact.lower == min(exact.bounds["rows"].value, exact.bounds["ceiling"].value):
        return exact.estimate
    seeds = output_seeds(problem.num_outputs, output, problem.device)
    opened = open_batch(problem, mlp, problem.whole)
    alive = liveness(opened, generic=True)
    unseen = int(alive.touched[-1].any(0).sum()) if output == "prob" else 0
    most, found, chance = exact.bounds["ceiling"].value, exact.lower, 1.0
    for prime in random_primes(PRIMES, evaluation.seed):
        cell = cell_factors(opened, seeds, prime, generic=evaluation.seed)
        most = min(most, exact.bounds["rows"].value, alive.num_touched - unseen - num_rescalings(alive, cell.inputs))
        if found == most:
            break
        side = cheapest_side(cell.shape, sum(mlp.widths[1:]), most, memory)
        found = max(found, side.rank(cell))
        divides = side.chance(minor_bits(_with_parameters(opened, 2 * most + 1), seeds), most)
        chance *= min(1.0, divides + 2 * max(len(mlp.layers) - 1, 1) * most / prime)
    method = f"random residues modulo {PRIMES} primes; at most {most}"
    if found == most:
        return Estimate.enclosed(found, found, found, method, Status.CERTIFIED)
    if chance < CHANCE:
        return Estimate.enclosed(found, found, found, method, Status.CERTIFIED, confidence=1 - chance)
    return Estimate.enclosed(found, found, most, method, Status.LOWER_BOUND)


def _with_parameters(opened: OpenBatch, size: int) -> OpenBatch:
    """The same slopes and inputs, all weights and biases `size`: an odd one has the bits of any whole number below."""
    weights = tuple(torch.full_like(weight, size) for weight in opened.weights)
    biases = tuple(None if bias is None else torch.full_like(bias, size) for bias in opened.biases)
    return replace(opened, weights=weights, biases=biases)
