"""The first two spectral moments of the Hessian: tr H and tr H^2 from the same products."""

from dataclasses import dataclass
from typing import ClassVar

from scalecurv.linalg.hutchinson import trace_estimate, trace_square_estimate
from scalecurv.linalg.sequential import estimate_until
from scalecurv.measures.budget import Budget
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure


@dataclass(frozen=True)
class Moments(Measure):
    """trace T = tr H and trace_h2 F = tr H^2, until both are inside `rtol` or the products are spent."""

    rtol: float = 0.01
    max_matvecs: int = 1000

    name: ClassVar[str] = "moments"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("trace", "trace_h2")

    def ask(self, evaluation: Evaluation) -> Findings:
        estimators = {"trace": trace_estimate, "trace_h2": trace_square_estimate}
        limit = Budget(self.max_matvecs).probes
        return Findings(estimate_until(evaluation.terms, estimators, self.rtol, limit))
