"""The measure of the rank of the Jacobian: in how many directions the outputs move."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.linalg.ranks import numerical_rank, participation_ratio, stable_rank
from scalecurv.measures.cost import MeasureCost, basis_bytes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.functional_dimension import functional_dimension
from scalecurv.measures.rank.generic import generic_rank
from scalecurv.measures.rank.outputs import Output, functional_ceiling, output_seeds
from scalecurv.measures.rank.singular_values import jacobian_values
from scalecurv.mlp.activation_pattern import kink_margin
from scalecurv.mlp.layers import homogeneous_mlp
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MEMORY
from scalecurv.statistics.estimate import Estimate

ACCOUNT = ("account_dead", "account_rescaling", "account_data_limited", "account_unexplained")
TAUS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}  # relative to the largest singular value
SOFTMAX = "softmax"  # the component of ranks of probabilities, which keeps them apart from those of the outputs


@dataclass(frozen=True)
class Rank(Measure):
    """The rank of the Jacobian J of all outputs over the batch, (N D, P): in how many directions the outputs move.

    rank: for MLPs of homogeneous activations from exact bounds, below by residues and above by structure; else the
        number of singular values above max(N D, P) eps sigma_1, in float64.
    rank_1e2, rank_1e3, rank_1e6: the numbers of singular values above 1e-2, 1e-3 and 1e-6 of the largest.
    stable_rank, jacobian_participation_ratio: |J|_F^2 / sigma_1^2 and (sum sigma^2)^2 / sum sigma^4.

    For MLPs of homogeneous activations only:

    rank_generic: the rank at almost all parameters with the same activation pattern.
    rank_ceiling: P - (number of hidden neurons), as each neuron can be rescaled without a change of the function
        (Grigsby, Lindsey and Rolnick 2023, arXiv 2306.06179).
    kink_margin: the least distance of a pre-activation from a kink, relative to the numbers that rounding acts on.
    functional_dimension_lower: the largest rank over batches of other inputs, if the option `functional_dimension` is
        set.
    account_dead, account_rescaling, account_data_limited, account_unexplained: the parts of P - rank, see
        `rank_account`.

    `output` "prob" takes the softmax of the outputs in place of the outputs. Matrices stay inside `memory` bytes; where
    that is too little, the rank is a lower bound. Array: `singular_values`, descending.
    """

    memory: int = MEMORY
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
    on_request: ClassVar[Mapping[str, str]] = MappingProxyType({"functional_dimension_lower": "functional_dimension"})

    def cost(self, problem: Problem) -> MeasureCost:
        return MeasureCost(bytes=basis_bytes(problem, self.memory))

    def check(self, problem: Problem) -> None:
        problem.shard.refuse(f"measure {self.name}")
        output_seeds(problem.num_outputs, self.output or "logits")
        if self.output == "prob" and len(problem.output_shape) > 1:
            raise Misuse(
                f"a sample has outputs of shape {problem.output_shape}, which are not the classes of one softmax; "
                f"leave --output out"
            )

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
        """Return the quantities that only an MLP of homogeneous activations has; not applicable for other models."""
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
    """Return the rank of J over the batch: exact where structure gives it, else by singular values in float64.

    The latter are counted above max(N D, P) eps sigma_1.
    """
    if (exact := exact_rank(evaluation, memory, output)) is not None:
        return exact.estimate
    found = jacobian_values(evaluation, memory, output)
    return numerical_rank(found, max(found.shape) * float(np.finfo(np.float64).eps))


def rank_account(exact: ExactRank, num_params: int) -> dict[str, Estimate]:
    """Return the parts of P = rank + dead + rescaling + data_limited + unexplained over the batch, each at least 0.

    dead: parameters that touch only dead neurons or zero inputs, each counted once.
    rescaling: one direction for each live hidden neuron.
    data_limited: the rest of P above the upper bound of the rank, for lack of samples or of variety in them.
    unexplained: the gap between that bound and the rank.
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
