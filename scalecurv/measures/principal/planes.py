"""Sectional curvature of the planes in which the loss is sharpest: those of the outermost Ritz vectors of H."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.geometry.sectional import ricci_curvature_of, sectional_curvature_of
from scalecurv.linalg.inner import dots, gram, norms
from scalecurv.linalg.krylov.extremes import rounding_of
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.measures.dense import noise_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.moments.deflation import trace_of
from scalecurv.measures.noise import VISIBLE
from scalecurv.measures.route import Strategy
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance

TOPS = 3


def ritz_planes(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate]:
    """By "i j", the ranks of two Ritz vectors of H from the top, "-1" the lowest; "1 2" among them where P > 1.

    u_i'Hu_j = theta_i if i = j, else 0, so that the plane has beta theta_i theta_j / (1 + (g'u_i)^2 + (g'u_j)^2), and
    takes no further product. The interval says where the plane of the eigenvectors lies: theta within its residual r, u
    within the angle r / gap, the gap being that to the next Ritz value (Davis and Kahan 1970); wide where H has a
    multiple eigenvalue. Of H written out r is LAPACK's: ulps of |H|.
    """
    facts, noise = gradient_facts(evaluation, double=True), noise_of(evaluation, strategy)
    space = krylov_run(evaluation, strategy).space
    k = len(space.values)
    ranks = list(range(1, min(TOPS, k) + 1)) + ([-1] if k > TOPS else [])
    chosen = [k - rank if rank > 0 else 0 for rank in ranks]
    order = np.array(sorted(chosen))
    along = gram(space.narrowed(order).basis.double(), facts.gradient.double()[:, None])[:, 0].tolist()
    off = space.residuals[order] + noise.norm
    dense = strategy.dense_is_taken(evaluation.problem)
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
            found[f"{a} {b}"] = Tolerance(strategy.rtol).settle(enclosed, Status.CONVERGED)
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


STREAM = "random planes"


@dataclass(frozen=True, eq=False)
class PlaneTerms:
    """Sectional curvatures of independent planes, uniform among the tangent planes; their mean is K / (P (P - 1)).

    With Gaussian u and v the plane of G^(-1/2) u and G^(-1/2) v is uniform in the metric G of the graph, and its
    curvature is that of u and v under A = sqrt(beta) G^(-1/2) H G^(-1/2): det(U'AU) / det(U'U). Two products a plane.
    """

    gradient: Tensor

    def __call__(self, operator: LinearOperator, seed: int, ids: Sequence[int]) -> np.ndarray:
        """One row for each plane, shape (len(ids), 1); `operator` is H."""
        A = ShapeOperator(operator, self.gradient)
        both = [2 * i + side for side in (0, 1) for i in ids]
        Z = probes(A.shape[0], seed, STREAM, both, "gaussian", A.dtype, A.device)
        AZ, k = A.matmat(Z), len(ids)
        bent, lengths = _pairs(Z[:, :k], Z[:, k:], AZ[:, :k], AZ[:, k:]), _pairs(Z[:, :k], Z[:, k:])
        return sectional_curvature_of(bent, lengths, 1.0)[:, None]


def _pairs(U: Tensor, V: Tensor, AU: Tensor | None = None, AV: Tensor | None = None) -> np.ndarray:
    """The matrices [[u'Au, u'Av], [u'Av, v'Av]] of each column, shape (k, 2, 2)."""
    AU, AV = U if AU is None else AU, V if AV is None else AV
    mixed = dots(U, AV)
    rows = torch.stack([dots(U, AU), mixed, mixed, dots(V, AV)], dim=1)
    return rows.view(-1, 2, 2).cpu().numpy()


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


def ricci_curvature_at(evaluation: Evaluation, u: Tensor, strategy: Strategy) -> Estimate:
    """The Ricci curvature in direction u (P,): the interval is that of tr H, one product for u and one for g.

    Raises Misuse where u is no direction of this problem.
    """
    (unit,) = _directions(evaluation, (u,))
    facts = gradient_facts(evaluation, double=True)
    Hu, g = evaluation.double_hessian.matmat(unit), facts.gradient[:, None]
    numbers = (float(dots(a, b)[0]) for a, b in ((unit, Hu), (Hu, Hu), (g, Hu), (g, unit)))
    uhu, squared, ghu, steep = numbers
    trace = trace_of(evaluation, strategy)
    offset = ricci_curvature_of(0.0, facts.ghg, facts.beta, uhu, squared, ghu, 1 + steep**2)
    found = trace.affine(facts.beta * uhu / (1 + steep**2), offset).judged(strategy.rtol)
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
