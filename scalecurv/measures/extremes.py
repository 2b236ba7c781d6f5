"""The two ends of the Hessian's spectrum, each inside a two-sided certificate."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.errors import Misuse
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem


@dataclass(frozen=True)
class Extremes(Measure):
    """lambda_max and lambda_min by one Lanczos run; `memory` bytes bound the vectors it keeps, by restarts if need be.

    Stores the Ritz values with their residuals (an eigenvalue lies within each) and, of a run without restarts, their
    weights in the start vector. Where H is written out (`route` None or "dense", see `Strategy`) both ends are exact,
    and the Ritz values are all eigenvalues; any other route asks for the run.
    """

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30
    route: str | None = None

    name: ClassVar[str] = "extremes"
    version: ClassVar[int] = 4
    quantities: ClassVar[tuple[str, ...]] = ("lambda_max", "lambda_min")

    @property
    def strategy(self) -> Strategy:
        return Strategy(self.rtol, self.max_matvecs, self.memory, self.route)

    def check(self, problem: Problem) -> None:
        try:
            self.strategy.dense_is_taken(problem)
        except Misuse as error:
            raise Misuse(f"measure {self.name}: {error}") from error

    def compute(self, evaluation: Evaluation) -> Findings:
        found = krylov_run(evaluation, self.strategy)
        arrays = {"ritz_values": found.space.values, "ritz_residuals": found.space.residuals}
        if found.run is not None:
            arrays["ritz_weights"] = found.run.quadrature.weights
        return Findings({"lambda_max": found.ends.largest, "lambda_min": found.ends.smallest}, arrays)
