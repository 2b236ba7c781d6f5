"""The direction of the gradient, and what the Hessian makes of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.linalg.inner import dots
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts


@dataclass(frozen=True)
class Slope:
    """beta, and along u = g/|g| (P, 1): u'Hu and Hu (P, 1). At g = 0 u is 0, and so is all the rest."""

    beta: float
    direction: Tensor
    uhu: float
    bent: Tensor

    @property
    def across(self) -> float:
        """|Hu|^2 - (u'Hu)^2: what H moves from the slope into the level set, squared."""
        return max(float(dots(self.bent, self.bent)[0]) - self.uhu**2, 0.0)


def slope(evaluation: Evaluation) -> Slope:
    """One product in float64, remembered; none where the gradient is 0 beside 1."""

    def compute() -> Slope:
        facts = gradient_facts(evaluation, double=True)
        g = facts.gradient[:, None]
        if facts.beta == 1:
            nothing = torch.zeros_like(g)
            return Slope(1.0, nothing, 0.0, nothing)
        u = g / facts.grad_norm
        bent = evaluation.double_hessian.matmat(u)
        return Slope(facts.beta, u, float(dots(u, bent)[0]), bent)

    return evaluation.once("slope", compute)
