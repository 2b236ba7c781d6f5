"""Sectional curvature of the planes in which the loss is sharpest: those of the outermost Ritz vectors of H."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from scalecurv.estimate import Estimate, Status
from scalecurv.linalg.extremes import rounding_of
from scalecurv.linalg.inner import gram
from scalecurv.linalg.sequential import Tolerance
from scalecurv.measures.cancelled import VISIBLE
from scalecurv.measures.dense import noise_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.plan import Plan

TOPS = 3


def ritz_planes(evaluation: Evaluation, plan: Plan) -> dict[str, Estimate]:
    """By "i j", the ranks of two Ritz vectors of H from the top, "-1" the lowest; "1 2" among them where P > 1.

    u_i'Hu_j = theta_i if i = j, else 0, so that the plane has beta theta_i theta_j / (1 + (g'u_i)^2 + (g'u_j)^2), and
    takes no further product. The interval says where the plane of the eigenvectors lies: theta within its residual r, u
    within the angle r / gap, the gap being that to the next Ritz value (Davis and Kahan 1970); wide where H has a
    multiple eigenvalue. Of H written out r is LAPACK's: ulps of |H|.
    """
    facts, noise = gradient_facts(evaluation, double=True), noise_of(evaluation, plan)
    space = krylov_run(evaluation, plan).space
    k = len(space.values)
    ranks = list(range(1, min(TOPS, k) + 1)) + ([-1] if k > TOPS else [])
    chosen = [k - rank if rank > 0 else 0 for rank in ranks]
    order = np.array(sorted(chosen))
    along = gram(space.narrowed(order).basis.double(), facts.gradient.double()[:, None])[:, 0].tolist()
    off = space.residuals[order] + noise.norm
    dense = plan.dense_is_taken(evaluation.problem)
    if dense:
        off += rounding_of(float(np.abs(space.values).max()), torch.float64)
    angles = np.minimum(off / np.maximum(_gaps(space.values)[order], 1e-300), 1.0)
    outer = {
        i: _Ritz(float(space.values[i]), float(r), float(a), float(angle) * facts.grad_norm)
        for i, r, a, angle in zip(order, off, along, angles, strict=True)
    }
    cost, found = space.num_matvecs + noise.num_matvecs, {}
    for (a, i), (b, j) in combinations(zip(ranks, chosen, strict=True), 2):
        value, lower, upper = _enclosed(outer[i], outer[j], facts.beta)
        method = f"plane of Ritz vectors {a} and {b} of H"
        enclosed = Estimate.enclosed(value, lower, upper, method, Status.BUDGET, confidence=0.99, num_matvecs=cost)
        if dense and not noise.norm and enclosed.within(VISIBLE):
            found[f"{a} {b}"] = Estimate.exact(value, method, cost)
        else:
            found[f"{a} {b}"] = Tolerance(plan.rtol).settle(enclosed, Status.CONVERGED)
    return found


@dataclass(frozen=True)
class _Ritz:
    """A Ritz value, how far an eigenvalue may be, g'u, and how far that may be."""

    value: float
    off: float
    steep: float
    tilt: float

    @property
    def squares(self) -> tuple[float, float, float]:
        """(g'u)^2, and the least and the most that it may be."""
        least, most = max(abs(self.steep) - self.tilt, 0.0), abs(self.steep) + self.tilt
        return self.steep**2, least**2, most**2


def _gaps(values: np.ndarray) -> np.ndarray:
    """From each Ritz value to the nearest other one."""
    steps = np.r_[np.inf, np.diff(values), np.inf]
    return np.minimum(steps[:-1], steps[1:])


def _enclosed(one: _Ritz, other: _Ritz, beta: float) -> tuple[float, float, float]:
    here, least, most = (1 + a + b for a, b in zip(one.squares, other.squares, strict=True))
    corners = [
        beta * (one.value + s * one.off) * (other.value + t * other.off) / area
        for s in (-1, 1)
        for t in (-1, 1)
        for area in (least, most)
    ]
    return beta * one.value * other.value / here, min(corners), max(corners)
