"""In how many directions the outputs move: the rank of the Jacobian, exact where it can be, and its profile."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scalecurv.linalg.ranks import numerical_rank, participation_ratio, stable_rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.rank.exact import ExactRank, exact_rank, homogeneous_mlp
from scalecurv.measures.rank.functional_dimension import functional_dimension
from scalecurv.measures.rank.generic import generic_rank
from scalecurv.measures.rank.outputs import Output, functional_ceiling, output_seeds
from scalecurv.measures.rank.singular_values import jacobian_values
from scalecurv.mlp.activation_pattern import kink_margin
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate

ACCOUNT = ("account_dead", "account_rescaling", "account_data_limited", "account_unexplained")


def rank_account(exact: ExactRank, num_params: int) -> dict[str, Estimate]:
    """P = rank + dead + rescaling + data_limited + unexplained, over the batch, each at least 0.

    dead: parameters that touch only dead units or zero inputs, each counted once. rescaling: live hidden neurons, one
    direction each. data_limited: what the upper bound leaves of the rest, for want of samples or of variety in them.
    unexplained: the gap between that bound and the rank, of which structure says nothing.
    """
    seen = f"{exact.num_samples} of {exact.num_data} samples"
    left = exact.num_touched - exact.num_rescalings
    return {
        "account_dead": Estimate.exact(num_params - exact.num_touched, "zero columns of J"),
        "account_rescaling": Estimate.exact(exact.num_rescalings, f"one a hidden neuron that is live on {seen}"),
        "account_data_limited": Estimate.exact(
            left - exact.structural_upper, "P - dead - rescaling - upper bound of the rank"
        ),
        "account_unexplained": Estimate.exact(exact.structural_upper - exact.lower, "upper bound of the rank - rank"),
    }


TAUS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}
SOFTMAX = "softmax"  # the component under which ranks of probabilities rest, apart from those of the outputs


@dataclass(frozen=True)
class Rank(Measure):
    """rank of J over the batch with its profile, its ceiling, and an account of the parameters that it does not count.

    For MLPs of homogeneous activations rank is exact, from residues below and structure above, and rank_ceiling =
    P - (hidden neurons): each can be rescaled without changing the function (Grigsby, Lindsey and Rolnick 2023, arXiv
    2306.06179). For other models rank counts the singular values above max(N D, P) eps sigma_1, in float64.
    `functional_dimension` tries further inputs; `output` "prob" asks of the softmax of the outputs. What is eliminated
    or decomposed stays inside `memory` bytes: where that is too little the rank is a lower bound.
    """

    memory: int = 2 << 30
    output: Output | None = None
    functional_dimension: bool | None = None

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 3
    quantities: ClassVar[tuple[str, ...]] = (
        "rank",
        "rank_generic",
        *TAUS,
        "rank_ceiling",
        "stable_rank",
        "jacobian_participation_ratio",
        "kink_margin",
        "functional_dimension_lower",
        *ACCOUNT,
    )

    def check(self, problem: Problem) -> None:
        problem.shard.refuse(f"measure {self.name}")
        output_seeds(problem.num_outputs, self.output or "logits")

    def compute(self, evaluation: Evaluation) -> Findings:
        self.check(evaluation.problem)
        output = self.output or "logits"
        found = jacobian_values(evaluation, self.memory, output)
        estimates = {
            "rank": jacobian_rank(evaluation, self.memory, output),
            **{name: numerical_rank(found, tau) for name, tau in TAUS.items()},
            "stable_rank": stable_rank(found),
            "jacobian_participation_ratio": participation_ratio(found),
            **self._structural(evaluation, output),
        }
        if output == "prob":
            return Findings(parts={(name, SOFTMAX): estimate for name, estimate in estimates.items()})
        return Findings(estimates, {"singular_values": found.values})

    def _structural(self, evaluation: Evaluation, output: Output) -> dict[str, Estimate]:
        """What only an MLP of homogeneous activations has."""
        problem, mlp = evaluation.double, homogeneous_mlp(evaluation.double)
        exact = exact_rank(evaluation, self.memory, output)
        if mlp is None or exact is None:
            names = {"rank_generic", "rank_ceiling", "kink_margin", *ACCOUNT}
            names |= {"functional_dimension_lower"} if self.functional_dimension else set()
            return dict.fromkeys(sorted(names), Estimate.not_applicable("not an MLP of homogeneous activations"))
        margin = kink_margin(problem, mlp)
        found = {
            "rank_generic": generic_rank(evaluation, exact, self.memory, output),
            "rank_ceiling": Estimate.exact(
                functional_ceiling(problem, mlp, output),
                "P - hidden neurons" + (" - what moves all outputs alike" if output == "prob" else ""),
            ),
            "kink_margin": Estimate.exact(margin, "forward pass")
            if margin < math.inf
            else Estimate.not_applicable("no neuron with a kink reaches an output"),
        }
        if self.functional_dimension:
            found["functional_dimension_lower"] = functional_dimension(evaluation, self.memory, output)
        return {**found, **(rank_account(exact, mlp.num_params) if output == "logits" else {})}


def jacobian_rank(evaluation: Evaluation, memory: int, output: Output = "logits") -> Estimate:
    """rank J over the batch: exact where structure gives it, else in float64 and to its rounding."""
    if (exact := exact_rank(evaluation, memory, output)) is not None:
        return exact.estimate
    found = jacobian_values(evaluation, memory, output)
    return numerical_rank(found, max(found.shape) * float(np.finfo(np.float64).eps))
