"""Scalar curvature of the graph of the loss, beside what it is when the slope is taken away, and its bounds."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.geometry.bounds import Interval, general_bracket, psd_bracket
from scalecurv.geometry.chain import LINKS, chain
from scalecurv.geometry.ratios import effective_rank, interval_of, joint_status, participation_ratio
from scalecurv.measures.curvature.scalar import ScalarCurvature, scalar_curvature
from scalecurv.measures.curvature.semidefinite import Definite, interpolates, nearly_semidefinite
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import Krylov, krylov_run
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.rank.rank import jacobian_rank
from scalecurv.statistics.estimate import NAN, Estimate, Status

CHAIN = tuple(f"chain_{i}" for i in range(1, len(LINKS) + 1))


@dataclass(frozen=True)
class Curvature(RoutedMeasure):
    """scalar_curvature K and t2_minus_f = T^2 - F until K is inside `rtol`; brackets of K, the chain, effective ranks.

    T^2 - F is what K equals at a critical point; K / (T^2 - F) is about beta elsewhere. The chain of bounds is given
    where the data is fitted exactly under mse, with the verdict on each link in its method.
    """

    name: ClassVar[str] = "curvature"
    version: ClassVar[int] = 5
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
        krylov = krylov_run(evaluation, strategy)
        lower, upper = _bracket(evaluation, found, krylov)
        return Findings(
            {
                "scalar_curvature": found.K,
                "t2_minus_f": found.difference,
                "curvature_lower": lower,
                "curvature_upper": upper,
                "effective_rank": effective_rank(found.trace, krylov.ends.largest, self.rtol),
                "participation_ratio": participation_ratio(found.trace, found.trace_h2, self.rtol),
                **_chain(evaluation, found, krylov, self.memory),
            }
        )


def _bracket(evaluation: Evaluation, found: ScalarCurvature, krylov: Krylov) -> tuple[Estimate, Estimate]:
    """The ends of what K may be, each an estimate whose interval is the bound itself."""
    beta, ends = gradient_facts(evaluation, double=True).beta, krylov.ends
    near = nearly_semidefinite(evaluation)
    used: tuple[Estimate, ...] = (found.trace, found.trace_h2, ends.largest, ends.smallest)
    cost = found.matvecs_with(ends.largest.num_matvecs) + 1
    if near is not None:
        method, used = "positive semidefinite: T and lambda_max", (found.trace, ends.largest)
        T, F, lam = _of_semidefinite_part(found, krylov, near)
        low, high = psd_bracket(T, lam, beta)
        size = max(map(abs, T))
        # between K of that part and K, rounding included
        slack = beta * (2 * size * near.trace + near.of_square(F[1]) + 1e-15 * size**2)
        bracket = low - slack, high + slack
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


def _joint(used: tuple[Estimate, ...], near: Definite | None) -> float:
    """What is left once each part has taken its chance to be wrong, and the bound on R too."""
    return max(0.0, 1 - sum(1 - part.confidence for part in used) - (near.chance if near else 0.0))


def _of_semidefinite_part(
    found: ScalarCurvature, krylov: Krylov, near: Definite
) -> tuple[Interval, Interval, Interval]:
    """Intervals of T, F and lambda_max that hold those of G, where H = G + R and R is all but zero."""
    F = found.trace_h2
    return (
        interval_of(found.trace.widened(near.trace)),
        interval_of(F.widened(near.of_square(F.upper))),
        interval_of(krylov.ends.largest.widened(near.norm)),
    )


def _chain(evaluation: Evaluation, found: ScalarCurvature, krylov: Krylov, memory: int) -> dict[str, Estimate]:
    near = nearly_semidefinite(evaluation)
    if evaluation.problem.weight_decay:
        reason = "the chain bounds J'J, to whose eigenvalues weight decay adds"
        return dict.fromkeys(CHAIN, Estimate.not_applicable(reason))
    if near is None or not interpolates(evaluation):
        reason = "the chain needs mse and an exact fit: max |f - y| <= 1e-6 max(|y|, 1)"
        return dict.fromkeys(CHAIN, Estimate.not_applicable(reason))
    if evaluation.problem.shard.size > 1:  # not "not applicable": another strategy has the answer, under the same key
        reason = "the rank of J needs all samples in one place; give --plan checkpoints"
        return dict.fromkeys(CHAIN, Estimate(NAN, NAN, NAN, NAN, NAN, 0, 0, reason, Status.FAILED))
    rank, largest = jacobian_rank(evaluation, memory), krylov.ends.largest
    used = (found.trace, found.trace_h2, largest, rank)
    confidence = _joint(used, near)
    cost = found.matvecs_with(largest.num_matvecs) + rank.num_matvecs + near.num_matvecs
    links = chain(*_of_semidefinite_part(found, krylov, near), interval_of(rank))
    status = joint_status(*used)
    return {
        name: Estimate(
            link.value, NAN, link.lower, link.upper, confidence, 0, cost, f"{link.formula}: {link.verdict}", status
        )
        for name, link in zip(CHAIN, links, strict=True)
    }
