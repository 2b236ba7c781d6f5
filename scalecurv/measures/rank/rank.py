"""The measure of the rank of the Jacobian: in how many directions the outputs move."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.linalg.ranks import numerical_rank
from scalecurv.machine import default_memory
from scalecurv.measures.cost import MeasureCost, basis_bytes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.functional_dimension import functional_dimension
from scalecurv.measures.rank.generic import generic_rank
from scalecurv.measures.rank.outputs import Output, functional_ceiling, output_seeds
from scalecurv.measures.rank.profile import TAUS, jacobian_profile, profile_of_values
from scalecurv.measures.rank.singular_values import jacobian_values
from scalecurv.measures.sample_forms import check_from_samples
from scalecurv.mlp.activation_pattern import kink_margin
from scalecurv.mlp.layers import homogeneous_mlp
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import check_number
from scalecurv.statistics.estimate import Estimate, Status

ACCOUNT = ("account_dead", "account_rescaling", "account_data_limited", "account_unexplained")
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

    `output` "prob" takes the softmax of the outputs in place of the outputs. Matrices stay inside `memory` bytes. Where
    that is too little, or J has more than 20,000 rows, the numbers of an MLP of homogeneous activations come from a
    draw of as many samples as `allowed_work` lets, and the counts are lower bounds. `rank_samples` sets how many
    samples are drawn, whatever the work. Without it `from_samples` does so for these MLPs, and for no other model.

    Array, with the option `singular_values` alone: `singular_values`, descending (`singular_values_softmax` of
    probabilities). They take a decomposition, which nothing else needs.
    """

    memory: int = field(default_factory=default_memory)
    output: Output | None = None
    functional_dimension: bool | None = None
    singular_values: bool | None = None
    rank_samples: int | None = None
    from_samples: int | None = None

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 4
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("rank_samples", self.rank_samples)
        if self.rank_samples is not None and self.rank_samples < 1:
            raise Misuse(f"rank_samples is {self.rank_samples}; it must be a positive whole number")
        check_from_samples(self.from_samples)

    @property
    def drawn(self) -> int | None:
        """Return the number of samples that the rank of an MLP is asked for, None for what memory and work allow."""
        return self.from_samples if self.rank_samples is None else self.rank_samples

    def check(self, problem: Problem) -> None:
        problem.shard.refuse(f"measure {self.name}")
        if self.rank_samples is not None and homogeneous_mlp(problem) is None:
            raise Misuse(
                "rank_samples is for MLPs of homogeneous activations, whose rank is computed from rows of J; "
                "leave --rank-samples out"
            )
        output_seeds(problem.num_outputs, self.output or "logits")
        if self.output == "prob" and len(problem.output_shape) > 1:
            raise Misuse(
                f"a sample has outputs of shape {problem.output_shape}, which are not the classes of one softmax; "
                f"leave --output out"
            )

    def compute(self, evaluation: Evaluation) -> Findings:
        self.check(evaluation.problem)
        output, every = self.output or "logits", bool(self.singular_values)
        rank = jacobian_rank(evaluation, self.memory, output, self.drawn, every)
        estimates = {"rank": rank, **self._profile(evaluation, output, rank), **self._structural(evaluation, output)}
        values = {"singular_values": jacobian_values(evaluation, self.memory, output, True).values} if every else {}
        if output == "prob":
            arrays = {f"{name}_{SOFTMAX}": array for name, array in values.items()}
            return Findings({}, arrays, {(name, SOFTMAX): estimate for name, estimate in estimates.items()})
        return Findings(estimates, values)

    def _profile(self, evaluation: Evaluation, output: Output, rank: Estimate) -> dict[str, Estimate]:
        """Return the profile: of J J' or J'J for an MLP of homogeneous activations, else of the singular values."""
        mlp = homogeneous_mlp(evaluation.double)
        if mlp is None:
            return profile_of_values(jacobian_values(evaluation, self.memory, output, bool(self.singular_values)))
        return jacobian_profile(evaluation, mlp, self.memory, output, int(rank.upper), self.drawn)

    def _structural(self, evaluation: Evaluation, output: Output) -> dict[str, Estimate]:
        """Return the quantities that only an MLP of homogeneous activations has; not applicable for other models."""
        problem, mlp = evaluation.double, homogeneous_mlp(evaluation.double)
        exact = exact_rank(evaluation, self.memory, output, self.drawn)
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
            found["functional_dimension_lower"] = functional_dimension(evaluation, self.memory, output, self.drawn)
        return {**found, **(rank_account(exact, mlp.num_params) if output == "logits" else {})}


def jacobian_rank(
    evaluation: Evaluation,
    memory: int,
    output: Output = "logits",
    samples: int | None = None,
    every: bool = False,
) -> Estimate:
    """Return the rank of J over the batch: exact where structure gives it, else by singular values in float64.

    The latter are counted above max(N D, P) eps sigma_1; `every` and `samples` are as in `jacobian_values` and
    `exact_rank`.
    """
    if (exact := exact_rank(evaluation, memory, output, samples)) is not None:
        return exact.estimate
    found = jacobian_values(evaluation, memory, output, every)
    return numerical_rank(found, max(found.shape) * float(np.finfo(np.float64).eps))


def rank_account(exact: ExactRank, num_params: int) -> dict[str, Estimate]:
    """Return the parts of P = rank + dead + rescaling + data_limited + unexplained over the batch, each at least 0.

    dead: parameters that touch only dead neurons or zero inputs, each counted once.
    rescaling: one direction for each live hidden neuron.
    data_limited: the rest of P above the upper bound of the rank, for lack of samples or of variety in them.
    unexplained: the gap between that bound and the rank.

    Where the rank is that of a draw of samples, more of them would move parameters from one part to another: the
    intervals of the last three say how many at most.
    """
    part = exact.num_samples < exact.num_data
    limited = exact.num_touched - exact.num_rescalings - exact.structural_upper
    most = exact.num_touched - exact.lower

    def counted(value: int, least: int, most: int, method: str) -> Estimate:
        method = f"{method}, {exact.num_samples} of {exact.num_data} samples" if part else method
        if not part:
            return Estimate.exact(value, method)
        status = Status.LOWER_BOUND if value == least < most else Status.BUDGET
        return Estimate.enclosed(value, least, most, method, status)

    rescalings, gap = exact.num_rescalings, exact.structural_upper - exact.lower
    return {
        "account_dead": Estimate.exact(num_params - exact.num_touched, "zero columns of J"),
        "account_rescaling": counted(rescalings, rescalings, most, "one a hidden neuron that is live on some sample"),
        "account_data_limited": counted(limited, 0, limited + gap, "P - dead - rescaling - upper bound of the rank"),
        "account_unexplained": counted(gap, 0, gap, "upper bound of the rank - rank"),
    }
