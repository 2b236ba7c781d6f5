"""Scalar curvature of the graph of the loss, beside what it is when the slope is taken away."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from scalecurv.geometry.curvature_estimate import scalar_curvature_estimate
from scalecurv.linalg.sequential import estimate_until
from scalecurv.measures.budget import Budget
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.measure import Findings, Measure


@dataclass(frozen=True)
class Curvature(Measure):
    """scalar_curvature K and t2_minus_f = T^2 - F, until K is inside `rtol` or the products are spent.

    T^2 - F is what K equals at a critical point; K / (T^2 - F) is about beta elsewhere.
    """

    rtol: float = 0.01
    max_matvecs: int = 1000

    name: ClassVar[str] = "curvature"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("scalar_curvature", "t2_minus_f")

    def ask(self, evaluation: Evaluation) -> Findings:
        facts = gradient_facts(evaluation)
        estimators = {
            "scalar_curvature": partial(scalar_curvature_estimate, beta=facts.beta, ghg=facts.ghg, gh2g=facts.gh2g),
            "t2_minus_f": partial(scalar_curvature_estimate, beta=1.0, ghg=0.0, gh2g=0.0),
        }
        limit = Budget(self.max_matvecs).probes
        found = estimate_until(evaluation.terms, estimators, self.rtol, limit, watch=("scalar_curvature",))
        K = found["scalar_curvature"]
        return Findings({**found, "scalar_curvature": replace(K, num_matvecs=K.num_matvecs + 1)})  # the gradient's
