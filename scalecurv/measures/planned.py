"""A question whose answer may take several roads, at a price: the options that such measures share."""

from dataclasses import dataclass

from scalecurv.curvature.problem import Problem
from scalecurv.errors import Misuse
from scalecurv.measures.measure import Measure
from scalecurv.measures.plan import Plan


@dataclass(frozen=True)
class PlannedMeasure(Measure):
    """`rtol` of half-widths, at most `max_matvecs` products and `memory` bytes, a `route` or None: the cheapest."""

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30
    route: str | None = None

    @property
    def plan(self) -> Plan:
        return Plan(self.rtol, self.max_matvecs, self.memory, self.route)

    def check(self, problem: Problem) -> None:
        try:
            self.plan.structure(problem)
        except Misuse as error:
            raise Misuse(f"measure {self.name}: {error}") from error
