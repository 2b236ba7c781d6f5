"""The rank of J at almost all parameters with the same activation pattern, which is at least the rank at theta."""

from dataclasses import replace

import torch

from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import cheapest_side
from scalecurv.measures.rank.exact import CHANCE, ExactRank
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.minor_bits import minor_bits
from scalecurv.measures.rank.outputs import Output, output_seeds
from scalecurv.mlp.activation_pattern import activation_pattern, num_rescalings
from scalecurv.mlp.layers import OpenBatch, homogeneous_mlp, open_batch
from scalecurv.statistics.estimate import Estimate, Status

PRIMES = 2  # primes modulo which the rank is computed


def generic_rank(evaluation: Evaluation, exact: ExactRank, memory: int, output: Output) -> Estimate:
    """Return the largest rank of J over all weights and biases with fixed slopes, from random residues.

    A minor of size r of J J' that is not zero everywhere in the activation region is a polynomial in the parameters, of
    degree at most 2 r in each and 2 (L - 1) r in all. At some whole parameters up to 2 r it is not zero, and by
    Hadamard's bound few primes divide it there. Modulo any other prime p random residues make it zero with a chance of
    at most 2 (L - 1) r / p (Schwartz 1980; Zippel 1979). Not applicable where `exact` used only some of the samples.
    """
    problem, mlp = evaluation.double, homogeneous_mlp(evaluation.double)
    assert mlp is not None
    if exact.num_samples < exact.num_data:
        return Estimate.not_applicable(f"it needs all samples{exact.part}")
    if exact.lower == min(exact.bounds["rows"].value, exact.bounds["ceiling"].value):
        return exact.estimate
    seeds = output_seeds(problem.num_outputs, output, problem.device)
    opened = open_batch(problem, mlp, problem.whole)
    pattern = activation_pattern(opened, generic=True)
    unseen = int(pattern.touched[-1].any(0).sum()) if output == "prob" else 0
    most, found, chance = exact.bounds["ceiling"].value, exact.lower, 1.0
    for prime in random_primes(PRIMES, evaluation.seed):
        factors = region_factors(opened, seeds, prime, generic=evaluation.seed)
        most = min(
            most, exact.bounds["rows"].value, pattern.num_touched - unseen - num_rescalings(pattern, factors.inputs)
        )
        if found == most:
            break
        side = cheapest_side(factors.shape, sum(mlp.widths[1:]), most, memory)
        found = max(found, side.rank(factors))
        divides = side.chance(minor_bits(_with_parameters(opened, 2 * most + 1), seeds), most)
        chance *= min(1.0, divides + 2 * max(len(mlp.layers) - 1, 1) * most / prime)
    method = f"random residues modulo {PRIMES} primes; at most {most}"
    if found == most:
        return Estimate.enclosed(found, found, found, method, Status.CERTIFIED)
    if chance < CHANCE:
        return Estimate.enclosed(found, found, found, method, Status.CERTIFIED, confidence=1 - chance)
    return Estimate.enclosed(found, found, most, method, Status.LOWER_BOUND)


def _with_parameters(opened: OpenBatch, size: int) -> OpenBatch:
    """Return the batch with the same slopes and inputs, and with `size` for all weights and biases.

    An odd `size` has a last bit no higher than any whole number below it.
    """
    weights = tuple(torch.full_like(weight, size) for weight in opened.weights)
    biases = tuple(None if bias is None else torch.full_like(bias, size) for bias in opened.biases)
    return replace(opened, weights=weights, biases=biases)
