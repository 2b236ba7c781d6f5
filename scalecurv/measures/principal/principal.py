"""In which directions the loss manifold bends: principal curvatures, and the sectional curvatures that they bound."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from scalecurv.geometry.sectional import sectional_extremes
from scalecurv.linalg.krylov.extremes import ROUNDING
from scalecurv.linalg.krylov.outermost import Effort, outer_eigenvalues
from scalecurv.linalg.krylov.outermost_check import COUNT, Outer
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.dense import dense_hessian, dense_shape_operator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts, slope
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.noise import cancelled, rounding
from scalecurv.measures.principal.cross_check import curvature_check, mean_of_planes, planes_at_random
from scalecurv.measures.principal.planes import ritz_planes
from scalecurv.measures.route import Strategy
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.statistics.estimate import Estimate

PRINCIPAL = ("principal_max", "principal_max_2", "principal_min_2", "principal_min")


@dataclass(frozen=True)
class Principal(RoutedMeasure):
    """The outermost principal curvatures, certified; sectional, mean and Ricci curvature; K by a road of its own.

    Principal curvatures are the eigenvalues of the shape operator of the graph (as a Lanczos run of its own sees them,
    one Hessian product a step), and sectional_max and sectional_min products of two of them. mean_curvature is their
    sum, sqrt(beta) (T - beta g'Hg), ricci_gradient the Ricci curvature along g, beta^2 (T u'Hu - |Hu|^2), u = g/|g|.
    sectional_mean averages planes at random, sectional_ritz are planes of Ritz vectors of H. Its products are counted
    apart from those of the measures before it: as many as `max_matvecs` again at most. Where H is written out, nothing
    is left to be found: all of them are eigenvalues of a matrix, and take one product beside H's own.
    """

    name: ClassVar[str] = "principal"
    version: ClassVar[int] = 2
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

    def compute(self, evaluation: Evaluation) -> Findings:
        if evaluation.problem.num_params < 2:
            return Findings(dict.fromkeys(self.quantities, Estimate.not_applicable("one parameter spans no plane")))
        strategy = self.strategy
        outer = _outer(evaluation, strategy)
        largest, smallest = sectional_extremes(outer.values, self.rtol, outer.confidence)
        planes = ritz_planes(evaluation, strategy)
        return Findings(
            {
                **{name: outer.values[i] for name, i in zip(PRINCIPAL, (0, 1, -2, -1), strict=True)},
                "sectional_max": largest,
                "sectional_min": smallest,
                "sectional_mean": mean_of_planes(evaluation, strategy),
                "sectional_ritz": planes.pop("1 2", Estimate.not_applicable("H has one Ritz vector alone")),
                **_of_trace(evaluation, strategy),
                "scalar_curvature_convex": curvature_check(evaluation, strategy, outer.space),
            },
            {
                "principal_values": outer.space.values,
                "principal_residuals": outer.space.residuals,
                "principal_shares": _shares(evaluation, outer, strategy),
                "sectional_planes": planes_at_random(evaluation, strategy),
            },
            {("sectional_ritz", name): plane for name, plane in planes.items()},
        )


def _outer(evaluation: Evaluation, strategy: Strategy) -> Outer:
    """Principal curvatures to half of the tolerance: their products then meet all of it.

    In half of the memory, as the Krylov space of H is there too.
    """
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_outer(evaluation, strategy)
    problem, facts, noise = evaluation.problem, gradient_facts(evaluation, double=True), rounding(evaluation)
    A = ShapeOperator(evaluation.hessian, facts.gradient)
    vectors = strategy.budget.vectors(strategy.memory // 2, problem.num_params * problem.dtype.itemsize)
    steep = 2 * ROUNDING * torch.finfo(problem.dtype).eps * facts.gh2g**0.5
    effort = Effort(strategy.budget.lanczos, strategy.budget.outer_check, vectors)
    found = outer_eigenvalues(A, evaluation.seed, strategy.rtol / 2, effort, A.root * (noise.norm + steep))
    values = tuple(replace(v, num_matvecs=v.num_matvecs + noise.num_matvecs) for v in found.values)
    return replace(found, values=values)


def _dense_outer(evaluation: Evaluation, strategy: Strategy) -> Outer:
    """From all eigenvalues of the shape operator."""
    A = dense_shape_operator(evaluation)
    P = len(A.values)
    tops = min(COUNT, P)
    chosen = [*range(P - 1, P - 1 - tops, -1), *reversed(range(min(COUNT, P - tops)))]
    values = tuple(A.eigenvalue(i, strategy.rtol) for i in chosen)
    return Outer(values, A.space, None, min(value.confidence for value in values))


def _of_trace(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate]:
    """mean_curvature and ricci_gradient: linear in T, and as well known as it is."""
    facts, trace = gradient_facts(evaluation, double=True), scalar_curvature(evaluation, strategy).trace
    along, root = slope(evaluation), facts.beta**0.5
    mean = trace.affine(root, -root * facts.beta * facts.ghg)
    mean = cancelled(mean, root * (abs(trace.value) + abs(facts.beta * facts.ghg))).judged(strategy.rtol)
    found = {"mean_curvature": replace(mean, num_matvecs=mean.num_matvecs + 1)}
    if facts.beta == 1:
        return {
            **found,
            "ricci_gradient": Estimate.not_applicable("the gradient is 0 beside 1"),
        }
    squared = along.across + along.uhu**2
    ricci = trace.affine(facts.beta**2 * along.uhu, -(facts.beta**2) * squared)
    ricci = cancelled(ricci, facts.beta**2 * (abs(trace.value * along.uhu) + squared)).judged(strategy.rtol)
    return {**found, "ricci_gradient": replace(ricci, num_matvecs=ricci.num_matvecs + 1)}


def _shares(evaluation: Evaluation, outer: Outer, strategy: Strategy) -> np.ndarray:
    """Of the squared length of each outer principal direction, in the coordinates of theta, what lies in each layer.

    The directions from the largest curvature to the smallest, layer by layer, flat; each sums to 1.
    """
    hessian = dense_hessian(evaluation).operator if strategy.dense_is_taken(evaluation.problem) else evaluation.hessian
    A = ShapeOperator(hessian, gradient_facts(evaluation, double=True).gradient)
    squares = A.tangent(outer.vectors).double() ** 2
    shares = torch.stack([squares[part].sum(0) for part in evaluation.problem.space.layers.values()], dim=1)
    return (shares / shares.sum(1, keepdim=True)).cpu().numpy().ravel()
