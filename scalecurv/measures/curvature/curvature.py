"""The measure of the scalar curvature K of the graph of the loss, and of the bounds on K."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.geometry.bounds import Interval, general_bracket, psd_bracket
from scalecurv.geometry.chain import chain
from scalecurv.geometry.ratios import effective_rank, interval_of, joint_status, participation_ratio
from scalecurv.linalg.krylov.extremes import Ends
from scalecurv.measures.curvature.deflated_bracket import deflated_bracket
from scalecurv.measures.curvature.scalar import ScalarCurvature, scalar_curvature
from scalecurv.measures.curvature.semidefinite import interpolates, nearly_semidefinite
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import Krylov, krylov_run
from scalecurv.measures.measure import Findings, SampledMeasure
from scalecurv.measures.noise import Perturbation
from scalecurv.measures.rank.rank import jacobian_rank
from scalecurv.measures.sampled_ends import spectrum_ends
from scalecurv.quantities import CHAIN
from scalecurv.statistics.estimate import NAN, Estimate


@dataclass(frozen=True)
class Curvature(SampledMeasure):
    """The scalar curvature K of the graph of the loss, with bounds and effective ranks; T = tr H and F = tr H^2.

    scalar_curvature: K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg), beta = 1 / (1 + |g|^2), in units of H^2. Read
        it beside beta, as K is small where the gradient is large. (Pouplin, Roy, Singh and Arvanitidis 2023, arXiv
        2307.04719)
    t2_minus_f: T^2 - F, which equals K where g = 0; elsewhere K / (T^2 - F) is about beta.
    curvature_lower, curvature_upper: a bracket of K, from T, lambda_max and the Ritz space of the run where H is
        positive semidefinite, else from T, F and both ends of the spectrum.
    effective_rank: T / lambda_max.
    participation_ratio: T^2 / F.
    chain_1 .. chain_6: the links of the chain of bounds, left to right, where the data is fitted exactly under mse; the
        method of each says whether the link holds.

    Sampling ends when K is inside `rtol`, or when the budget is spent.
    """

    name: ClassVar[str] = "curvature"
    version: ClassVar[int] = 8
    quantities: ClassVar[tuple[str, ...]] = (
        "scalar_curvature",
        "t2_minus_f",
        "curvature_lower",
        "curvature_upper",
        "effective_rank",
        "participation_ratio",
        *CHAIN,
    )

    def compute(self, evaluation: Evaluation) -> Findings:
        strategy = self.strategy
        found = scalar_curvature(evaluation, strategy)
        sampled = strategy.sample_of(evaluation.problem) is not None
        krylov = None if sampled else krylov_run(evaluation, strategy)
        ends = spectrum_ends(evaluation, strategy)
        lower, upper = _bracket(evaluation, found, ends, krylov)
        return Findings(
            {
                "scalar_curvature": found.K,
                "t2_minus_f": found.difference,
                "curvature_lower": lower,
                "curvature_upper": upper,
                "effective_rank": effective_rank(found.trace, ends.largest, self.rtol),
                "participation_ratio": participation_ratio(found.trace, found.trace_h2, self.rtol),
                **_chain(evaluation, found, ends, self.memory),
            }
        )


def _bracket(
    evaluation: Evaluation, found: ScalarCurvature, ends: Ends, krylov: Krylov | None
) -> tuple[Estimate, Estimate]:
    """Return the lower and the upper bound on K, as estimates whose intervals are single numbers.

    `krylov` is the run of the ends, None where they come from a sample of the data.
    """
    beta = gradient_facts(evaluation, double=True).beta
    near = nearly_semidefinite(evaluation)
    used: tuple[Estimate, ...] = (found.trace, found.trace_h2, ends.largest, ends.smallest)
    cost = found.matvecs_with(ends.largest.num_matvecs) + 1
    if near is not None:
        method, used = "positive semidefinite: T and lambda_max", (found.trace, ends.largest)
        T, F, lam = _of_semidefinite_part(found, ends, near)
        low, high = psd_bracket(T, lam, beta)
        size = max(map(abs, T))
        # the difference of K of the semidefinite part and K of H, rounding included
        slack = beta * (2 * size * near.trace + near.of_square(F[1]) + 1e-15 * size**2)
        bracket = low - slack, high + slack
        if krylov is not None and krylov.run is not None:  # H is not written out
            low, high = deflated_bracket(evaluation, found.trace, krylov, near)
            bracket = max(bracket[0], low), min(bracket[1], high)
            method = "positive semidefinite: T, lambda_max and the Ritz space"
        cost += near.num_matvecs
    else:
        method = "any signs: T, F and the ends of the spectrum"
        spectrum = (ends.smallest.lower, ends.largest.upper)
        bracket = general_bracket(interval_of(found.trace), interval_of(found.trace_h2), spectrum, beta)
    confidence = _joint(used, near)
    lower, upper = (
        Estimate(bound, NAN, bound, bound, confidence, 0, cost, method, joint_status(*used)) for bound in bracket
    )
    return lower, upper


def _joint(used: tuple[Estimate, ...], near: Perturbation | None) -> float:
    """Return 1 minus the chances that any of the estimates, or the bound on R, is wrong."""
    return max(0.0, 1 - sum(1 - part.confidence for part in used) - (near.chance if near else 0.0))


def _of_semidefinite_part(
    found: ScalarCurvature, ends: Ends, near: Perturbation
) -> tuple[Interval, Interval, Interval]:
    """Return intervals that contain T, F and lambda_max of G, where H = G + R and `near` bounds R."""
    F = found.trace_h2
    return (
        interval_of(found.trace.widened(near.trace)),
        interval_of(F.widened(near.of_square(F.upper))),
        interval_of(ends.largest.widened(near.norm)),
    )


def _chain(evaluation: Evaluation, found: ScalarCurvature, ends: Ends, memory: int) -> dict[str, Estimate]:
    """Return the links of the chain of bounds by name; not applicable without an exact fit under mse."""
    near = nearly_semidefinite(evaluation)
    if evaluation.problem.weight_decay:
        reason = "the chain bounds J'J, to whose eigenvalues weight decay adds"
        return dict.fromkeys(CHAIN, Estimate.not_applicable(reason))
    if near is None or not interpolates(evaluation):
        reason = "the chain needs mse and an exact fit: max |f - y| <= 1e-6 max(|y|, 1)"
        return dict.fromkeys(CHAIN, Estimate.not_applicable(reason))
    if evaluation.problem.shard.size > 1:  # failed, not "not applicable": another plan has links under the same key
        reason = "the rank of J needs all samples in one place; give --plan checkpoints"
        return dict.fromkeys(CHAIN, Estimate.failed(reason))
    rank, largest = jacobian_rank(evaluation, memory), ends.largest
    used = (found.trace, found.trace_h2, largest, rank)
    confidence = _joint(used, near)
    cost = found.matvecs_with(largest.num_matvecs) + rank.num_matvecs + near.num_matvecs
    links = chain(*_of_semidefinite_part(found, ends, near), interval_of(rank))
    status = joint_status(*used)
    return {
        name: Estimate(link.value, NAN, link.lower, link.upper, confidence, 0, cost, link.method, status)
        for name, link in zip(CHAIN, links, strict=True)
    }
