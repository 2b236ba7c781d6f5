"""The gradient, and the curvature along it: one gradient and one Hessian product."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from scalecurv.geometry.scalar import beta_of
from scalecurv.linalg.inner import dots, norms
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.noise import noise_floor
from scalecurv.mlp.activation_pattern import kinks
from scalecurv.mlp.layers import structure_of
from scalecurv.operators.products import loss_and_gradient
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate


@dataclass(frozen=True)
class Slope:
    """The curvature along the gradient: beta, the unit direction u = g/|g| (P, 1), u'Hu and Hu (P, 1).

    At g = 0 beta is 1 and the others are 0.
    """

    beta: float
    direction: Tensor
    uhu: float
    bent: Tensor

    @property
    def across(self) -> float:
        """Return |Hu|^2 - (u'Hu)^2, the squared length of the part of Hu that is tangent to the level set of L."""
        return max(float(dots(self.bent, self.bent)[0]) - self.uhu**2, 0.0)


@dataclass(frozen=True)
class GradientFacts:
    """The loss L, |g|, and the vectors g and Hg, (P, 1) each."""

    loss: float
    grad_norm: float
    g: Tensor
    Hg: Tensor

    @property
    def gradient(self) -> Tensor:
        """Return g of shape (P,)."""
        return self.g[:, 0]

    @property
    def beta(self) -> float:
        """Return 1 / (1 + |g|^2)."""
        return beta_of(self.grad_norm)

    @cached_property
    def ghg(self) -> float:
        """Return g'Hg."""
        return float(dots(self.g, self.Hg)[0])

    @cached_property
    def gh2g(self) -> float:
        """Return g'H^2 g = |Hg|^2."""
        return float(dots(self.Hg, self.Hg)[0])

    @cached_property
    def slope(self) -> Slope:
        """Return the curvature along u = g/|g|; u is 0 where 1 + |g|^2 is rounded to 1."""
        if self.beta == 1:
            nothing = torch.zeros_like(self.g)
            return Slope(1.0, nothing, 0.0, nothing)
        u, bent = self.g / self.grad_norm, self.Hg / self.grad_norm
        return Slope(self.beta, u, float(dots(u, bent)[0]), bent)


@remembered
def loss_and_slope(evaluation: Evaluation) -> tuple[float, float, Tensor]:
    """Return L, |g| and g (P,), without a Hessian product; remembered."""
    loss, g = loss_and_gradient(evaluation.problem)
    return loss, float(norms(g[:, None])[0]), g


def gradient_facts(evaluation: Evaluation, double: bool = False) -> GradientFacts:
    """Return L, g and Hg from one gradient and one Hessian product, in float64 if `double`; remembered."""
    own = evaluation.problem.dtype == torch.float64 or not double
    return _facts(evaluation) if own else _facts_in_double(evaluation)


@remembered
def _facts(evaluation: Evaluation) -> GradientFacts:
    loss, norm, g = loss_and_slope(evaluation)
    return GradientFacts(loss, norm, g[:, None], evaluation.hessian.matmat(g[:, None]))


@remembered
def _facts_in_double(evaluation: Evaluation) -> GradientFacts:
    loss, g = loss_and_gradient(evaluation.double)
    block = g[:, None]
    return GradientFacts(loss, float(norms(block)[0]), block, evaluation.double_hessian.matmat(block))


@dataclass(frozen=True)
class Gradient(Measure):
    """The loss and its gradient g, exact up to rounding.

    loss: L. grad_norm: |g|. beta: 1 / (1 + |g|^2). ghg: g'Hg. gh2g: g'H^2 g = |Hg|^2.
    noise_floor: the relative rounding error of Hessian products, by comparison with float64.
    kinks: for MLPs of piecewise-linear activations, the number of pairs of a sample and a hidden neuron whose
        pre-activation lies so near a kink that rounding may have decided its side; for each activation too.
    """

    name: ClassVar[str] = "gradient"
    version: ClassVar[int] = 4
    quantities: ClassVar[tuple[str, ...]] = ("loss", "grad_norm", "ghg", "gh2g", "beta", "noise_floor", "kinks")

    def compute(self, evaluation: Evaluation) -> Findings:
        facts = gradient_facts(evaluation)
        kinks, by_layer = _kinks(evaluation.problem)
        return Findings(
            {
                "loss": Estimate.exact(facts.loss, "forward pass"),
                "grad_norm": Estimate.exact(facts.grad_norm, "backward pass"),
                "beta": Estimate.exact(facts.beta, "backward pass"),
                "ghg": Estimate.exact(facts.ghg, "hessian product", num_matvecs=1),
                "gh2g": Estimate.exact(facts.gh2g, "hessian product", num_matvecs=1),
                "noise_floor": noise_floor(evaluation),
                "kinks": kinks,
            },
            parts=by_layer,
        )


def _kinks(problem: Problem) -> tuple[Estimate, dict[tuple[str, str], Estimate]]:
    """Return how many pre-activations are near a kink by rounding, in all and by (quantity, layer that gives them)."""
    mlp = structure_of(problem)
    if mlp is None:
        return Estimate.not_applicable("not an MLP of piecewise-linear activations"), {}
    counts = kinks(problem, mlp).tolist()
    parts = {("kinks", name): Estimate.exact(n, "forward pass") for name, n in zip(mlp.layers, counts, strict=False)}
    return Estimate.exact(sum(counts), "forward pass"), parts
