"""Sectional and Ricci curvature of the graph of the loss.

It is computed for planes of the outermost Ritz vectors of H, for random planes, and in directions that a user gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
from scalecurv.measures.krylov import ritz_run
from scalecurv.measures.moments.deflation import trace_of
from scalecurv.measures.noise import VISIBLE, allowing, rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance

STREAM = "random planes"
TOPS = 3  # Ritz vectors from the top whose planes are taken
PARALLEL = 1e-6  # sine of an angle: below it rounding decides which plane two directions span


def ritz_planes(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate]:
    """Return the sectional curvatures of planes of two outermost Ritz vectors u_i, u_j of H, by the name "i j".

    i and j count Ritz vectors from the top, and -1 is the lowest; "1 2" is present where there are two. As u_i'Hu_j is
    theta_i for i = j and else 0, the curvature is beta theta_i theta_j / (1 + (g'u_i)^2 + (g'u_j)^2), without a further
    product. The interval contains the curvature of the plane of eigenvectors: an eigenvalue lies within the residual r
    of theta, and its eigenvector within the angle r / gap of u, where gap is the distance to the next Ritz value (Davis
    and Kahan 1970). It is wide where H has a multiple eigenvalue. For H written out r is the error of LAPACK, ulps of
    |H|.
    """
    facts, noise = gradient_facts(evaluation, double=True), noise_of(evaluation, strategy)
    space = ritz_run(evaluation, strategy).space
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
    outermost = {
        i: _Ritz(float(space.values[i]), float(r), float(a), float(angle) * facts.grad_norm)
        for i, r, a, angle in zip(order, off, along, angles, strict=True)
    }
    cost, found = space.num_matvecs + noise.num_matvecs, {}
    for (a, i), (b, j) in combinations(zip(ranks, chosen, strict=True), 2):
        value, lower, upper = _enclosed(outermost[i], outermost[j], facts.beta)
        method = f"plane of Ritz vectors {a} and {b} of H"
        enclosed = Estimate.enclosed(value, lower, upper, method, Status.BUDGET, confidence=0.99, num_matvecs=cost)
        if dense and not noise.norm and enclosed.within(VISIBLE):
            found[f"{a} {b}"] = Estimate.exact(value, method, cost)
        else:
            found[f"{a} {b}"] = Tolerance(strategy.rtol).settle(enclosed, Status.CONVERGED)
    return found


@dataclass(frozen=True)
class _Ritz:
    """A Ritz value and g'u for its vector u, with a bound on the error of each, `off` and `tilt`."""

    value: float
    off: float
    steep: float
    tilt: float

    @property
    def squares(self) -> tuple[float, float, float]:
        """Return (g'u)^2, and its least and largest value within the error."""
        least, most = max(abs(self.steep) - self.tilt, 0.0), abs(self.steep) + self.tilt
        return self.steep**2, least**2, most**2


def _gaps(values: np.ndarray) -> np.ndarray:
    """Return the distance from each Ritz value to the nearest other one; `values` ascend."""
    steps = np.r_[np.inf, np.diff(values), np.inf]
    return np.minimum(steps[:-1], steps[1:])


def _enclosed(one: _Ritz, other: _Ritz, beta: float) -> tuple[float, float, float]:
    """Return the sectional curvature of the plane of two Ritz vectors, and bounds on it from both their errors."""
    here, least, most = (1 + a + b for a, b in zip(one.squares, other.squares, strict=True))
    corners = [
        beta * (one.value + s * one.off) * (other.value + t * other.off) / area
        for s in (-1, 1)
        for t in (-1, 1)
        for area in (least, most)
    ]
    return beta * one.value * other.value / here, min(corners), max(corners)


@dataclass(frozen=True, eq=False)
class PlaneTerms:
    """The sectional curvatures of independent uniform tangent planes, whose mean is K / (P (P - 1)).

    For Gaussian u and v the plane of G^(-1/2) u and G^(-1/2) v is uniform in the metric G = I + gg' of the graph. With
    A = sqrt(beta) G^(-1/2) H G^(-1/2) and U = (u, v) its curvature is det(U'AU) / det(U'U), from two products.
    """

    gradient: Tensor

    def __call__(self, operator: LinearOperator, seed: int, ids: Sequence[int]) -> np.ndarray:
        """Return one row for each plane, shape (len(ids), 1), where `operator` is H."""
        A = ShapeOperator(operator, self.gradient)
        both = [2 * i + side for side in (0, 1) for i in ids]
        Z = probes(A.shape[0], seed, STREAM, both, "gaussian", A.dtype, A.device)
        AZ, k = A.matmat(Z), len(ids)
        bent, lengths = _pairs(Z[:, :k], Z[:, k:], AZ[:, :k], AZ[:, k:]), _pairs(Z[:, :k], Z[:, k:])
        return sectional_curvature_of(bent, lengths, 1.0)[:, None]


def _pairs(U: Tensor, V: Tensor, AU: Tensor | None = None, AV: Tensor | None = None) -> np.ndarray:
    """Return the matrix [[u'Au, u'Av], [u'Av, v'Av]] for each pair of columns, shape (k, 2, 2); A = I by default."""
    AU, AV = U if AU is None else AU, V if AV is None else AV
    mixed = dots(U, AV)
    rows = torch.stack([dots(U, AU), mixed, mixed, dots(V, AV)], dim=1)
    return rows.view(-1, 2, 2).cpu().numpy()


class NoPlane(Misuse):
    """The error for two directions that are parallel up to rounding."""


def sectional_curvature_at(evaluation: Evaluation, u: Tensor, v: Tensor) -> Estimate:
    """Return the sectional curvature of the plane of u and v, (P,) each; from two products in float64.

    It is exact, or certified where rounding shows in products, and has the units of H^2. Raises Misuse where u or v is
    not a direction of this problem, NoPlane where they are parallel.
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
    found, off = Estimate.exact(float(value), "two hessian products", num_matvecs=2), rounding_in_double(evaluation)
    slack = off.norm * (np.abs(bent).sum() + 2 * off.norm)  # of u'Hu v'Hv - (u'Hv)^2, each factor off by |E|
    return allowing(found, facts.beta * float(slack), off)


def ricci_curvature_at(evaluation: Evaluation, u: Tensor, strategy: Strategy) -> Estimate:
    """Return the Ricci curvature in direction u (P,), the sum of the curvatures of P - 1 orthogonal planes through u.

    Its interval comes from that of tr H; u and g take one product each. Raises Misuse where u is not a direction of
    this problem.
    """
    (unit,) = _directions(evaluation, (u,))
    facts = gradient_facts(evaluation, double=True)
    Hu, g = evaluation.double_hessian.matmat(unit), facts.gradient[:, None]
    numbers = (float(dots(a, b)[0]) for a, b in ((unit, Hu), (Hu, Hu), (g, Hu), (g, unit)))
    uhu, squared, ghu, steep = numbers
    trace = trace_of(evaluation, strategy)
    offset = ricci_curvature_of(0.0, facts.ghg, facts.beta, uhu, squared, ghu, 1 + steep**2)
    found, off = trace.affine(facts.beta * uhu / (1 + steep**2), offset), rounding_in_double(evaluation)
    e, norm = off.norm, facts.grad_norm  # u'Hu, g'Hu and g'Hg are off by at most e, |g| e and |g|^2 e
    slope = abs(facts.ghg) * e + norm**2 * e * (abs(uhu) + e) + norm * e * (2 * abs(ghu) + norm * e)
    slack = facts.beta * (abs(trace.value) * e + off.of_square(squared) + facts.beta * slope)
    return allowing(found, slack, off).judged(strategy.rtol).charged(2)


def _directions(evaluation: Evaluation, given: Sequence[Tensor]) -> list[Tensor]:
    """Return the given vectors as columns of length 1, (P, 1) each, in float64; raise Misuse for unusable ones."""
    P, found = evaluation.problem.num_params, []
    for name, vector in zip("uv", given, strict=False):
        column = torch.as_tensor(vector).detach().reshape(-1, 1).to(evaluation.problem.device, torch.float64)
        largest = float(column.abs().max()) if len(column) else 0.0
        if len(column) != P or not 0 < largest < float("inf"):
            raise Misuse(
                f"{name} has {len(column)} entries, the largest of size {largest:g}; give {P} finite numbers, one a "
                f"parameter, not all of them zero"
            )
        column = column / largest  # now squares of the entries neither overflow nor vanish
        found.append(column / norms(column))
    return found
