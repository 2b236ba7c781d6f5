"""In how many directions the outputs move: the numerical rank of the Jacobian over the batch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scalecurv.curvature.mlp import recognise_mlp
from scalecurv.curvature.problem import Problem
from scalecurv.estimate import Estimate
from scalecurv.linalg.numerical_rank import numerical_rank
from scalecurv.linalg.range_finder import SingularValues, singular_values
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure

TAUS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}


@dataclass(frozen=True)
class Rank(Measure):
    """rank of J in float64 at sigma > max(N D, P) eps sigma_1, its profile at coarser shares, and its ceiling.

    The sketch and its range stay inside `memory` bytes; where that is too little the rank is a lower bound.
    rank_ceiling = P - (hidden neurons) for ReLU MLPs: each hidden neuron can be rescaled without changing the
    function, and rank J cannot see that direction (Grigsby, Lindsey and Rolnick 2023, arXiv 2306.06179).
    """

    memory: int = 2 << 30

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("rank", "rank_1e2", "rank_1e3", "rank_1e6", "rank_ceiling")

    def ask(self, evaluation: Evaluation) -> Findings:
        found = _singular_values(evaluation, self.memory)
        profile = {name: numerical_rank(found, tau) for name, tau in TAUS.items()}
        rank = jacobian_rank(evaluation, self.memory)
        return Findings(
            {"rank": rank, **profile, "rank_ceiling": _ceiling(evaluation.problem)}, {"singular_values": found.values}
        )


def jacobian_rank(evaluation: Evaluation, memory: int) -> Estimate:
    """rank J over the batch, in float64 and to its rounding."""
    roundoff = max(evaluation.jacobian.shape) * float(np.finfo(np.float64).eps)
    return numerical_rank(_singular_values(evaluation, memory), roundoff)


def _singular_values(evaluation: Evaluation, memory: int) -> SingularValues:
    return evaluation.once(
        ("singular values", memory), lambda: singular_values(evaluation.jacobian, evaluation.seed, memory)
    )


def _ceiling(problem: Problem) -> Estimate:
    mlp = recognise_mlp(problem.model)
    if mlp is None or not mlp.homogeneous:
        return Estimate.not_applicable("not an MLP of positively homogeneous activations")
    return Estimate.exact(mlp.num_params - mlp.num_hidden, "P - hidden neurons")
