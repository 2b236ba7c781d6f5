"""The two ends of the Hessian's spectrum, each inside a two-sided certificate."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.measure import Findings, Measure


@dataclass(frozen=True)
class Extremes(Measure):
    """lambda_max and lambda_min by one Lanczos run; `memory` bytes bound the vectors it keeps.

    Stores the Ritz values with their weights and residuals: an eigenvalue lies within each residual of its value.
    """

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30

    name: ClassVar[str] = "extremes"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("lambda_max", "lambda_min")

    def ask(self, evaluation: Evaluation) -> Findings:
        found = krylov_run(evaluation, self.rtol, self.max_matvecs, self.memory)
        rule = found.factorization.quadrature
        return Findings(
            {"lambda_max": found.largest, "lambda_min": found.smallest},
            {"ritz_values": rule.nodes, "ritz_weights": rule.weights, "ritz_residuals": rule.residuals},
        )
