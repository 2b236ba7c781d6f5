"""The profile of J, from J J' or J'J without a decomposition: numerical ranks, stable rank, participation ratio."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from scalecurv.linalg.gram_profile import GramProfile, gram_profile
from scalecurv.linalg.ranks import numerical_rank, participation_ratio, stable_rank
from scalecurv.linalg.singular_values import SingularValues, dense_values
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import SHARE
from scalecurv.measures.rank.factors import JacobianFactors, factors_of
from scalecurv.measures.rank.outputs import Output, output_slopes
from scalecurv.measures.rank.sample import allowed_work, most_samples, opened_sample, share_of
from scalecurv.measures.rank.sampled_profile import PARTICIPATION, STABLE, sampled_ratios, whole_largest
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP
from scalecurv.statistics.estimate import Estimate, Status

TAUS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}  # relative to the largest singular value
SMALL = 2.5e8  # m n min(m, n) up to which all singular values take a tenth of a second, and serve as the profile


def profile_of_values(values: SingularValues) -> dict[str, Estimate]:
    """Return the profile of J by name, from its singular values."""
    counts = {name: numerical_rank(values, tau) for name, tau in TAUS.items()}
    return {**counts, "stable_rank": stable_rank(values), "jacobian_participation_ratio": participation_ratio(values)}


@dataclass(frozen=True)
class Plan:
    """The number of samples that the profile comes from, of `room` that fit; by J J', or by J'J if `columns`.

    `operations` are those of the matrix and of its factorizations.
    """

    count: int
    room: int
    columns: bool
    operations: float


def jacobian_profile(
    evaluation: Evaluation, mlp: MLP, memory: int, output: Output, rank: int, samples: int | None
) -> dict[str, Estimate]:
    """Return the profile of an MLP's J, of rank at most `rank`, by name.

    With J J' (N D, N D) or, where it is cheaper, J'J (P, P), each number of singular values above tau sigma_1 is that
    of the eigenvalues above tau^2 sigma_1^2, by one factorization. From a draw of samples the numbers are lower bounds:
    J without some of its rows has no larger singular values, and sigma_1 of all of J is bounded by Lanczos. Both
    ratios are then estimated, see `sampled_ratios`.
    """
    problem = evaluation.double
    num_outputs = problem.num_outputs
    plan = profile_plan(problem, mlp, num_outputs, memory, samples)
    opened = opened_sample(problem, mlp, plan.count, evaluation.seed)
    factors = factors_of(opened, output_slopes(opened.outputs, output))
    rows, columns = factors.shape
    whole = plan.count == problem.num_data
    if whole and rows * columns * min(rows, columns) <= SMALL:
        return profile_of_values(dense_values(factors.dense()))
    found = _gram_profile(factors, plan, min(rank, rows, columns), evaluation.seed)
    if whole:
        return {
            **_counts(found),
            "stable_rank": found.stable_rank(STABLE),
            "jacobian_participation_ratio": found.participation_ratio(PARTICIPATION),
        }
    largest = whole_largest(evaluation, output)
    part = share_of(plan.count, problem.num_data, plan.room, samples)
    counts = _counts(found, part, largest.upper)
    most = min(rank, problem.num_data * num_outputs)
    ratios = sampled_ratios(factors, found.gram, plan.columns, problem.num_data, most, largest)
    named: Mapping[str, Estimate] = dict(zip(("stable_rank", "jacobian_participation_ratio"), ratios, strict=True))
    return {
        **{name: _of_part(count, most, largest) for name, count in counts.items()},
        **{name: replace(ratio, method=ratio.method + part) for name, ratio in named.items()},
    }


def profile_plan(problem: Problem, mlp: MLP, num_outputs: int, memory: int, samples: int | None) -> Plan:
    """Return the larger draw of samples, J J' or J'J, whose memory and work are allowed; the cheaper of two whole ones.

    The activations of the samples and their derivatives take at most a half of `memory`, and the matrix another half.
    """
    num_data, num_params, widths = problem.num_data, problem.num_params, sum(mlp.widths)
    held = memory // SHARE // (8 * widths * (num_outputs + 1))

    def by_rows(count: int) -> float:
        n = float(count * num_outputs)
        return n * n * (sum(mlp.widths[1:]) + 5 / 3 * n)

    def by_columns(count: int) -> float:
        return float(num_params) ** 2 * (count * num_outputs + 5 / 3 * num_params)

    def plan(room: int, cost: Callable[[int], float], columns: bool) -> Plan:
        room = max(1, min(num_data, held, room))
        work = allowed_work(problem, num_outputs, room, samples)
        count = most_samples(min(room, samples or room), cost, work)
        return Plan(count, room, columns, cost(count))

    plans = [plan(math.isqrt(memory // SHARE // 8) // num_outputs, by_rows, False)]
    if 8 * num_params**2 <= memory // SHARE and num_params < num_data * num_outputs:
        columns = plan(num_data, by_columns, True)
        if by_columns(1) <= allowed_work(problem, num_outputs, columns.room, samples):
            plans.append(columns)
    return max(plans, key=lambda plan: (plan.count, -plan.operations))


def _gram_profile(factors: JacobianFactors, plan: Plan, rank: int, seed: int) -> GramProfile:
    if plan.columns:
        return gram_profile(factors.columns_gram(), factors.shape[0], rank, seed)
    terms = max(r.shape[2] + a.shape[1] for r, a in zip(factors.rows, factors.inputs, strict=True)) + len(factors.rows)
    return gram_profile(factors.gram(), terms, rank, seed)


def _counts(found: GramProfile, part: str = "", above: float = 0.0) -> dict[str, Estimate]:
    """Return the number for each tau, by name."""
    methods = tuple(f"singular values above {tau:.3g} of the largest{part}" for tau in TAUS.values())
    return dict(zip(TAUS, found.counts(tuple(TAUS.values()), methods, above), strict=True))


def _of_part(count: Estimate, most: int, largest: Estimate) -> Estimate:
    """Return the count over a draw of samples as a lower bound on that over all samples."""
    confidence = min(count.confidence, largest.confidence)
    return Estimate.enclosed(
        count.lower,
        count.lower,
        most,
        count.method,
        Status.LOWER_BOUND,
        confidence=confidence,
        num_matvecs=largest.num_matvecs,
    )
