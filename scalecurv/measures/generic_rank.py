"""The rank that almost all parameters with the same activation pattern have, and this point may fall short of."""

from scalecurv.curvature.cell import cell_factors
from scalecurv.curvature.layers import open_batch
from scalecurv.curvature.liveness import liveness, num_rescalings
from scalecurv.curvature.outputs import Output, output_seeds
from scalecurv.curvature.problem import Batch
from scalecurv.estimate import NAN, Estimate, Status
from scalecurv.linalg.primes import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.exact_rank import ExactRank, homogeneous_mlp
from scalecurv.measures.modular import cheapest_side


def generic_rank(evaluation: Evaluation, exact: ExactRank, memory: int, output: Output) -> Estimate:
    """The largest rank of J over all weights and biases, the slopes frozen as they are: that of random residues.

    A minor of J that is not zero somewhere in the cell is a polynomial of degree at most 2 (L - 1) r in the
    parameters; random residues make it zero with a chance of at most 2 (L - 1) r / p (Schwartz 1980; Zippel 1979).
    Asked of all samples only: where `exact` saw a part of them there is no answer.
    """
    problem, mlp = evaluation.double, homogeneous_mlp(evaluation.double)
    assert mlp is not None
    if exact.num_samples < exact.num_data:
        return Estimate.not_applicable("not all samples fit into --memory")
    if exact.lower == exact.bounds["rows"].value:
        return exact.estimate
    seeds = output_seeds(problem.num_outputs, output, problem.device)
    opened = open_batch(problem, mlp, Batch(problem.x, problem.y, 0))
    prime = random_primes(1, evaluation.seed)[0]
    cell = cell_factors(opened, seeds, prime, generic=evaluation.seed)
    alive = liveness(opened, generic=True)
    unseen = int(alive.touched[-1].any(0).sum()) if output == "prob" else 0
    most = min(exact.bounds["rows"].value, alive.num_touched - unseen - num_rescalings(alive, cell.inputs))
    found = (
        exact.lower
        if exact.lower == most
        else max(exact.lower, cheapest_side(cell.shape, sum(mlp.widths[1:]), most, memory).rank(cell))
    )
    chance = min(1.0, 2 * max(len(mlp.layers) - 1, 1) * most / prime)
    return Estimate(
        value=found,
        stderr=NAN,
        lower=found,
        upper=found,
        confidence=1.0 if found == most else 1 - chance,
        num_samples=0,
        num_matvecs=0,
        method=f"random residues modulo 1 prime; at most {most}",
        status=Status.CERTIFIED if found == most else Status.CONVERGED,
    )
