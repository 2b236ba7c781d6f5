"""Sectional curvature of the planes in which the loss is sharpest: those of the outermost Ritz vectors of H."""

from itertools import combinations

import numpy as np

from scalecurv.estimate import Estimate, Status
from scalecurv.geometry.sectional import sectional_curvature_of
from scalecurv.linalg.inner import gram
from scalecurv.linalg.sequential import Tolerance
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.noise import rounding
from scalecurv.measures.plan import Plan

TOPS = 3


def ritz_planes(evaluation: Evaluation, plan: Plan) -> dict[str, Estimate]:
    """By "i j", the ranks of two Ritz vectors of H from the top, "-1" the lowest; "1 2" among them where P > 1.

    u_i'Hu_j = theta_i if i = j, else 0, so that the plane has beta theta_i theta_j / (1 + (g'u_i)^2 + (g'u_j)^2): exact
    for these vectors, eigenvectors or not, and no further product.
    """
    facts, space, noise = (
        gradient_facts(evaluation, double=True),
        krylov_run(evaluation, plan).space,
        rounding(evaluation),
    )
    k = len(space.values)
    ranks = list(range(1, min(TOPS, k) + 1)) + ([-1] if k > TOPS else [])
    chosen = np.array([k - rank if rank > 0 else 0 for rank in ranks])
    order = np.sort(chosen)
    basis = space.narrowed(order).basis.double()
    steep = dict(zip(order, gram(basis, facts.gradient.double()[:, None])[:, 0].tolist(), strict=True))
    found = {}
    for (a, i), (b, j) in combinations(zip(ranks, chosen, strict=True), 2):
        bent = np.diag(space.values[[i, j]])
        along = np.array([steep[i], steep[j]])
        value = float(sectional_curvature_of(bent, np.eye(2) + np.outer(along, along), facts.beta))
        slack = facts.beta * float(np.abs(space.values[[i, j]]).sum()) * noise.norm
        method = f"plane of Ritz vectors {a} and {b} of H"
        cost = space.num_matvecs + noise.num_matvecs
        enclosed = Estimate.enclosed(
            value, value - slack, value + slack, method, Status.BUDGET, confidence=0.99, num_matvecs=cost
        )
        settled = Tolerance(plan.rtol).settle(enclosed, Status.CERTIFIED)
        found[f"{a} {b}"] = settled if slack else Estimate.exact(value, method, cost)
    return found
