"""The measure of principal curvatures of the graph of the loss, and of the sectional curvatures that they bound."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from scalecurv.geometry.sectional import sectional_extremes
from scalecurv.linalg.krylov.extremes import ROUNDING
from scalecurv.linalg.krylov.outermost import Effort, outermost_eigenvalues
from scalecurv.linalg.krylov.outermost_check import COUNT, Outermost
from scalecurv.measures.cost import MeasureCost, bytes_of
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.dense import dense_hessian, dense_shape_operator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.noise import allowing, cancelled, rounding, rounding_in_double
from scalecurv.measures.principal.cross_check import curvature_check, mean_of_planes, planes_at_random
from scalecurv.measures.principal.planes import ritz_planes
from scalecurv.measures.route import Strategy
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate

PRINCIPAL = ("principal_max", "principal_max_2", "principal_min_2", "principal_min")
NO_PLANE = Estimate.not_applicable("one parameter spans no plane")


@dataclass(frozen=True)
class Principal(RoutedMeasure):
    """The principal curvatures of the graph of the loss, and its sectional, mean and Ricci curvature.

    principal_max, principal_max_2, principal_min_2, principal_min: the outermost eigenvalues of the shape operator
        sqrt(beta) G^(-1/2) H G^(-1/2), G = I + gg', certified.
    sectional_max, sectional_min: the extremes over all planes, products of two principal curvatures.
    sectional_mean: the mean over random planes; it is checked against K / (P (P - 1)).
    sectional_ritz: the curvature of the plane of the two top Ritz vectors of H; for other pairs too, see `ritz_planes`.
    mean_curvature: the sum of all principal curvatures, sqrt(beta) (T - beta g'Hg), T = tr H.
    ricci_gradient: the Ricci curvature along u = g/|g|, beta^2 (T u'Hu - |Hu|^2).
    scalar_curvature_convex: K by a second formula and products of its own; it is checked against scalar_curvature.

    Principal and mean curvature have the units of H, the others those of H^2. The products of the Lanczos runs on the
    shape operator, of the planes and of the second formula are not shared with other measures: at most `max_matvecs` of
    them. T, K and the Ritz vectors of H are those of `curvature` and `extremes`. Where H is written out (see
    `Strategy`) all numbers come from the matrix, without further products.

    Arrays: `principal_values` and `principal_residuals`; `principal_shares`, the share of each layer in the squared
    length of each outermost direction; `sectional_planes`, the curvatures of the random planes.
    """

    name: ClassVar[str] = "principal"
    version: ClassVar[int] = 4
    quantities: ClassVar[tuple[str, ...]] = (
        *PRINCIPAL,
        "sectional_max",
        "sectional_min",
        "sectional_mean",
        "sectional_ritz",
        "mean_curvature",
        "ricci_gradient",
        "scalar_curvature_convex",
    )

    def cost(self, problem: Problem) -> MeasureCost:
        if self.strategy.dense_is_taken(problem):
            return MeasureCost(written_out=problem.num_params, bytes=bytes_of(problem, self.strategy))
        # K and the Ritz planes come from the products that curvature and extremes take too
        return replace(super().cost(problem), own=self.max_matvecs, own_probes=self.max_matvecs // 2)

    def compute(self, evaluation: Evaluation) -> Findings:
        if evaluation.problem.num_params < 2:
            return Findings(dict.fromkeys(self.quantities, NO_PLANE))
        strategy = self.strategy
        outermost = _outermost(evaluation, strategy)
        largest, smallest = sectional_extremes(outermost.values, self.rtol, outermost.confidence)
        planes = ritz_planes(evaluation, strategy)
        return Findings(
            {
                **_named(outermost),
                "sectional_max": largest,
                "sectional_min": smallest,
                "sectional_mean": mean_of_planes(evaluation, strategy),
                "sectional_ritz": planes.pop("1 2", Estimate.not_applicable("H has one Ritz vector alone")),
                **_of_trace(evaluation, strategy),
                "scalar_curvature_convex": curvature_check(evaluation, strategy, outermost.space),
            },
            {
                "principal_values": outermost.space.values,
                "principal_residuals": outermost.space.residuals,
                "principal_shares": _shares(evaluation, outermost, strategy),
                "sectional_planes": planes_at_random(evaluation, strategy),
            },
            {("sectional_ritz", name): plane for name, plane in planes.items()},
        )


@remembered
def outermost_curvatures(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate]:
    """Return the outermost principal curvatures by the names in PRINCIPAL, and compute nothing else; remembered."""
    if evaluation.problem.num_params < 2:
        return dict.fromkeys(PRINCIPAL, NO_PLANE)
    return _named(_outermost(evaluation, strategy))


def _named(outermost: Outermost) -> dict[str, Estimate]:
    return {name: outermost.values[i] for name, i in zip(PRINCIPAL, (0, 1, -2, -1), strict=True)}


def _outermost(evaluation: Evaluation, strategy: Strategy) -> Outermost:
    """Return the outermost principal curvatures to half of the tolerance, so that products of two meet all of it.

    The run takes half of the memory, as the Krylov space of H takes the other half.
    """
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_outermost(evaluation, strategy)
    problem, facts, noise = evaluation.problem, gradient_facts(evaluation, double=True), rounding(evaluation)
    A = ShapeOperator(evaluation.hessian, facts.gradient)
    vectors = strategy.budget.vectors(strategy.memory // 2, problem.num_params * problem.dtype.itemsize)
    steep = 2 * ROUNDING * torch.finfo(problem.dtype).eps * facts.gh2g**0.5
    effort = Effort(strategy.budget.lanczos, strategy.budget.outer_check, vectors)
    found = outermost_eigenvalues(A, evaluation.seed, strategy.rtol / 2, effort, A.root * (noise.norm + steep))
    values = tuple(v.charged(noise.num_matvecs) for v in found.values)
    return replace(found, values=values)


def _dense_outermost(evaluation: Evaluation, strategy: Strategy) -> Outermost:
    """Return the outermost principal curvatures from the shape operator written out."""
    A = dense_shape_operator(evaluation)
    P = len(A.values)
    tops = min(COUNT, P)
    chosen = [*range(P - 1, P - 1 - tops, -1), *reversed(range(min(COUNT, P - tops)))]
    values = tuple(A.eigenvalue(i, strategy.rtol) for i in chosen)
    return Outermost(values, A.space, None, min(value.confidence for value in values))


def _of_trace(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate]:
    """Return mean_curvature and ricci_gradient, which are linear in T = tr H, with intervals from that of T."""
    facts, trace = gradient_facts(evaluation, double=True), scalar_curvature(evaluation, strategy).trace
    along, root = facts.slope, facts.beta**0.5
    mean = trace.affine(root, -root * facts.beta * facts.ghg)
    mean = cancelled(mean, root * (abs(trace.value) + abs(facts.beta * facts.ghg)))
    off = rounding_in_double(evaluation)  # of Hg; beta g'Eg is at most |E|
    found = {"mean_curvature": allowing(mean, root * off.norm, off).judged(strategy.rtol).charged(1)}
    if facts.beta == 1:
        return {**found, "ricci_gradient": Estimate.not_applicable("the gradient is 0 beside 1")}
    squared = along.across + along.uhu**2
    ricci = trace.affine(facts.beta**2 * along.uhu, -(facts.beta**2) * squared)
    ricci = cancelled(ricci, facts.beta**2 * (abs(trace.value * along.uhu) + squared))
    slack = facts.beta**2 * (abs(trace.value) * off.norm + off.of_square(squared))
    return {**found, "ricci_gradient": allowing(ricci, slack, off).judged(strategy.rtol).charged(1)}


def _shares(evaluation: Evaluation, outermost: Outermost, strategy: Strategy) -> np.ndarray:
    """Return the share of each layer in the squared length of each outermost direction, in coordinates theta.

    The array is flat: directions from the largest curvature to the smallest, and layer by layer within each. The shares
    of a direction sum to 1.
    """
    hessian = dense_hessian(evaluation).operator if strategy.dense_is_taken(evaluation.problem) else evaluation.hessian
    A = ShapeOperator(hessian, gradient_facts(evaluation, double=True).gradient)
    squares = A.tangent(outermost.vectors).double() ** 2
    shares = torch.stack([squares[part].sum(0) for part in evaluation.problem.space.layers.values()], dim=1)
    return (shares / shares.sum(1, keepdim=True)).cpu().numpy().ravel()
