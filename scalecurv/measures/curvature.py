"""Scalar curvature of the graph of the loss, beside what it is when the slope is taken away, and its bounds."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.curvature.problem import Problem
from scalecurv.estimate import NAN, Estimate
from scalecurv.geometry.bounds import general_bracket, psd_bracket
from scalecurv.geometry.chain import LINKS, chain
from scalecurv.geometry.ratios import effective_rank, interval_of, joint_status, participation_ratio
from scalecurv.measures.definite import positive_semidefinite
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.interpolation import interpolates
from scalecurv.measures.krylov import Krylov, krylov_run
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.plan import Plan
from scalecurv.measures.rank import jacobian_rank
from scalecurv.measures.scalar_curvature import ScalarCurvature, scalar_curvature

CHAIN = tuple(f"chain_{i}" for i in range(1, len(LINKS) + 1))


@dataclass(frozen=True)
class Curvature(Measure):
    """scalar_curvature K and t2_minus_f = T^2 - F until K is inside `rtol`; brackets of K, the chain, effective ranks.

    T^2 - F is what K equals at a critical point; K / (T^2 - F) is about beta elsewhere. The chain of bounds is given
    where the data is fitted exactly under mse, with the verdict on each link in its method.
    """

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30
    route: str | None = None

    name: ClassVar[str] = "curvature"
    version: ClassVar[int] = 2
    quantities: ClassVar[tuple[str, ...]] = (
        "scalar_curvature",
        "t2_minus_f",
        "curvature_lower",
        "curvature_upper",
        "effective_rank",
        "participation_ratio",
        *CHAIN,
    )

    @property
    def plan(self) -> Plan:
        return Plan(self.rtol, self.max_matvecs, self.memory, self.route)

    def check(self, problem: Problem) -> None:
        self.plan.structure(problem)

    def ask(self, evaluation: Evaluation) -> Findings:
        plan = self.plan
        found = scalar_curvature(evaluation, plan)
        krylov = krylov_run(evaluation, plan)
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
    beta, ends = gradient_facts(evaluation).beta, krylov.ends
    used: tuple[Estimate, ...]
    if positive_semidefinite(evaluation, krylov):
        method, used = "positive semidefinite: T and lambda_max", (found.trace, ends.largest)
        bracket = psd_bracket(interval_of(found.trace), interval_of(ends.largest), beta)
    else:
        method = "any signs: T, F and the ends of the spectrum"
        used = (found.trace, found.trace_h2, ends.largest, ends.smallest)
        spectrum = (ends.smallest.lower, ends.largest.upper)
        bracket = general_bracket(interval_of(found.trace), interval_of(found.trace_h2), spectrum, beta)
    confidence = max(0.0, 1 - sum(1 - part.confidence for part in used))
    cost = found.matvecs_with(krylov.space.num_matvecs) + 1
    lower, upper = (
        Estimate(bound, NAN, bound, bound, confidence, 0, cost, method, joint_status(*used)) for bound in bracket
    )
    return lower, upper


def _chain(evaluation: Evaluation, found: ScalarCurvature, krylov: Krylov, memory: int) -> dict[str, Estimate]:
    if not interpolates(evaluation):
        reason = "the chain needs mse and an exact fit: max |f - y| <= 1e-6 max(|y|, 1)"
        return dict.fromkeys(CHAIN, Estimate.not_applicable(reason))
    rank, largest = jacobian_rank(evaluation, memory), krylov.ends.largest
    used = (found.trace, found.trace_h2, largest, rank)
    confidence = max(0.0, 1 - sum(1 - part.confidence for part in used))
    cost = found.matvecs_with(krylov.space.num_matvecs)
    links = chain(*(interval_of(part) for part in used))
    return {
        name: Estimate(
            link.value,
            NAN,
            link.lower,
            link.upper,
            confidence,
            0,
            cost,
            f"{link.formula}: {link.verdict}",
            joint_status(*used),
        )
        for name, link in zip(CHAIN, links, strict=True)
    }
