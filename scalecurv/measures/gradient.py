"""The gradient and the curvature along it: one gradient, one product."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scalecurv.geometry.scalar import beta_of
from scalecurv.linalg.inner import dots, norms
from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.noise import noise_floor
from scalecurv.mlp.activation_pattern import kinks
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.statistics.estimate import Estimate


@dataclass(frozen=True)
class GradientFacts:
    """L, |g|, g'Hg, |Hg|^2 and the vector g (P,): what the other measures need of the gradient."""

    loss: float
    grad_norm: float
    ghg: float
    gh2g: float
    gradient: Tensor

    @property
    def beta(self) -> float:
        return beta_of(self.grad_norm)


def loss_and_slope(evaluation: Evaluation) -> tuple[float, float, Tensor]:
    """L, |g| and g (P,), remembered: no Hessian product."""

    def compute() -> tuple[float, float, Tensor]:
        loss, g = loss_and_gradient(evaluation.problem)
        return loss, float(norms(g[:, None])[0]), g

    return evaluation.once("loss and slope", compute)


def gradient_facts(evaluation: Evaluation, double: bool = False) -> GradientFacts:
    """One gradient and one Hessian product, remembered; `double` takes both in float64 whatever the problem's dtype."""
    if double and evaluation.problem.dtype != torch.float64:
        return evaluation.once("double gradient", lambda: _in_double(evaluation))

    def compute() -> GradientFacts:
        loss, norm, g = loss_and_slope(evaluation)
        return _along(loss, norm, g, evaluation.hessian)

    return evaluation.once("gradient", compute)


def _in_double(evaluation: Evaluation) -> GradientFacts:
    loss, g = loss_and_gradient(evaluation.double)
    return _along(loss, float(norms(g[:, None])[0]), g, evaluation.double_hessian)


def _along(loss: float, norm: float, g: Tensor, hessian: LinearOperator) -> GradientFacts:
    block = g[:, None]
    Hg = hessian.matmat(block)
    return GradientFacts(loss, norm, float(dots(block, Hg)[0]), float(dots(Hg, Hg)[0]), g)


@dataclass(frozen=True)
class Gradient(Measure):
    """loss L, grad_norm |g|, beta = 1/(1+|g|^2), ghg g'Hg and gh2g |Hg|^2: exact up to rounding.

    noise_floor tells how much rounding there is in a product, kinks how many pre-activations it may push over.
    """

    name: ClassVar[str] = "gradient"
    version: ClassVar[int] = 3
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
    """Of all hidden layers together, and of the activations behind each."""
    mlp = structure_of(problem)
    if mlp is None:
        return Estimate.not_applicable("not an MLP of piecewise-linear activations"), {}
    counts = kinks(problem, mlp).tolist()
    parts = {("kinks", name): Estimate.exact(n, "forward pass") for name, n in zip(mlp.layers, counts, strict=False)}
    return Estimate.exact(sum(counts), "forward pass"), parts


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
