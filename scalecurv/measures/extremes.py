"""The two ends of the Hessian's spectrum, each inside a two-sided certificate."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.linalg.extremes import extreme_eigenvalues
from scalecurv.measures.budget import Budget
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure


@dataclass(frozen=True)
class Extremes(Measure):
    """lambda_max and lambda_min by one Lanczos run; `memory` bytes bound the vectors it keeps.

    Stores the Ritz values with their residuals: an eigenvalue lies within each residual of its Ritz value.
    """

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30

    name: ClassVar[str] = "extremes"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("lambda_max", "lambda_min")

    def ask(self, evaluation: Evaluation) -> Findings:
        problem = evaluation.problem
        affordable = max(2, self.memory // (problem.num_params * problem.dtype.itemsize))
        steps = min(Budget(self.max_matvecs).lanczos, affordable)
        found = evaluation.once(
            ("extremes", self.rtol, steps),
            lambda: extreme_eigenvalues(evaluation.hessian, evaluation.seed, self.rtol, steps),
        )
        rule = found.factorization.quadrature
        return Findings(
            {"lambda_max": found.largest, "lambda_min": found.smallest},
            {"ritz_values": rule.nodes, "ritz_residuals": rule.residuals},
        )
