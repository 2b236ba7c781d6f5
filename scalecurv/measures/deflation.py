"""What the Lanczos run lets be taken out of H, and the terms of what is left: one set of probes for every measure."""

from dataclasses import dataclass

import numpy as np

from scalecurv.estimate import Estimate
from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.hutchinson import trace_estimate, trace_square_estimate
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import Krylov, deflated_space
from scalecurv.measures.noise import Rounding
from scalecurv.measures.plan import Plan

METHOD = "deflated hutchinson"


@dataclass(frozen=True)
class Deflation:
    """The Krylov space that is taken out, and the terms of what is left."""

    krylov: Krylov
    terms: DeflatedTerms

    @property
    def num_matvecs(self) -> int:
        return self.krylov.space.num_matvecs

    def rows(self, evaluation: Evaluation, count: int) -> np.ndarray:
        """Terms of tr H and tr H^2 themselves, then by layer: what was taken out is added to each."""
        return evaluation.terms(count, self.terms, ("deflated terms", self.krylov.name)) + self.terms.known


def deflation(evaluation: Evaluation, plan: Plan) -> Deflation:
    """What the Lanczos run of this plan lets be taken out, remembered."""
    krylov = deflated_space(evaluation, plan)
    terms = DeflatedTerms(krylov.space, tuple(evaluation.problem.space.layers.values()))
    return evaluation.once(("deflation", krylov.name), lambda: Deflation(krylov, terms))


def sampled_trace(rows: np.ndarray, noise: Rounding) -> Estimate:
    """tr H from the first column of deflated terms, what rounding may add to it included."""
    return trace_estimate(rows, METHOD).widened(noise.trace)


def sampled_moment(rows: np.ndarray, noise: Rounding) -> Estimate:
    """tr H^2 from the second column of deflated terms, likewise."""
    found = trace_square_estimate(rows, METHOD)
    return found.widened(noise.of_square(found.value))
