"""Curvature of a plane, and of a direction, that somebody points at."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.estimate import Estimate
from scalecurv.geometry.ricci import ricci_curvature_of
from scalecurv.geometry.sectional import sectional_curvature_of
from scalecurv.linalg.inner import dots, gram, norms
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.plan import Plan
from scalecurv.measures.trace import trace_of


class NoPlane(Misuse):
    """Two directions that are parallel, or all but."""


PARALLEL = 1e-6  # sine of the angle below which two directions span no plane that rounding would leave alone


def sectional_curvature_at(evaluation: Evaluation, u: Tensor, v: Tensor) -> Estimate:
    """The sectional curvature of the plane of u and v, (P,) each, in float64: exact, two products.

    Raises Misuse where they are no directions of this problem, NoPlane where they are parallel.
    """
    first, second = _directions(evaluation, (u, v))
    across = second - first * dots(first, second)
    across = across - first * dots(first, across)
    sine = float(norms(across)[0])
    if sine < PARALLEL:
        raise NoPlane(f"u and v span no plane: the sine of their angle is {sine:.2g}; give two that are further apart")
    plane = torch.cat([first, across / sine], dim=1)
    bent = gram(plane, evaluation.double_hessian.matmat(plane)).cpu().numpy()
    facts = gradient_facts(evaluation, double=True)
    steep = gram(plane, facts.gradient[:, None])[:, 0].cpu().numpy()
    value = sectional_curvature_of(bent, np.eye(2), facts.beta, steep)
    return Estimate.exact(float(value), "two hessian products", num_matvecs=2)


def ricci_curvature_at(evaluation: Evaluation, u: Tensor, plan: Plan) -> Estimate:
    """The Ricci curvature in direction u (P,): the interval is that of tr H, one product for u and one for g.

    Raises Misuse where u is no direction of this problem.
    """
    (unit,) = _directions(evaluation, (u,))
    facts = gradient_facts(evaluation, double=True)
    Hu, g = evaluation.double_hessian.matmat(unit), facts.gradient[:, None]
    numbers = (float(dots(a, b)[0]) for a, b in ((unit, Hu), (Hu, Hu), (g, Hu), (g, unit)))
    uhu, squared, ghu, steep = numbers
    trace = trace_of(evaluation, plan)
    offset = ricci_curvature_of(0.0, facts.ghg, facts.beta, uhu, squared, ghu, 1 + steep**2)
    found = trace.affine(facts.beta * uhu / (1 + steep**2), offset).judged(plan.rtol)
    return replace(found, num_matvecs=found.num_matvecs + 2)


def _directions(evaluation: Evaluation, given: Sequence[Tensor]) -> list[Tensor]:
    """As columns of length 1, (P, 1) each, in float64."""
    P, found = evaluation.problem.num_params, []
    for name, vector in zip("uv", given, strict=False):
        column = torch.as_tensor(vector).detach().reshape(-1, 1).to(evaluation.problem.device, torch.float64)
        largest = float(column.abs().max()) if len(column) else 0.0
        if len(column) != P or not 0 < largest < float("inf"):
            raise Misuse(
                f"{name} has {len(column)} entries, the largest of size {largest:g}; give {P} finite numbers, one a "
                f"parameter, not all of them zero"
            )
        column = column / largest  # the squares of what is left neither overflow nor vanish
        found.append(column / norms(column))
    return found
