"""The two ends of the Hessian's spectrum, each inside a two-sided certificate."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.plan import Plan


@dataclass(frozen=True)
class Extremes(Measure):
    """lambda_max and lambda_min by one Lanczos run; `memory` bytes bound the vectors it keeps, by restarts if need be.

    Stores the Ritz values with their residuals (an eigenvalue lies within each) and, of a run without restarts, their
    weights in the start vector.
    """

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30

    name: ClassVar[str] = "extremes"
    version: ClassVar[int] = 3
    quantities: ClassVar[tuple[str, ...]] = ("lambda_max", "lambda_min")

    def ask(self, evaluation: Evaluation) -> Findings:
        found = krylov_run(evaluation, Plan(self.rtol, self.max_matvecs, self.memory))
        arrays = {"ritz_values": found.space.values, "ritz_residuals": found.space.residuals}
        if found.run is not None:
            arrays["ritz_weights"] = found.run.quadrature.weights
        return Findings({"lambda_max": found.ends.largest, "lambda_min": found.ends.smallest}, arrays)
