"""Cross-checks of the scalar curvature by other formulas and products: intervals that do not meet show an error."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.linalg.krylov.extremes import UNDERFLOW
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.curvature.scalar import ScalarCurvature, scalar_curvature
from scalecurv.measures.dense import dense_hessian, dense_shape_operator, noise_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import Slope, gradient_facts
from scalecurv.measures.moments.deflation import difference_floor
from scalecurv.measures.noise import cancelled
from scalecurv.measures.principal.convex_form import TangentTerms, convex_form
from scalecurv.measures.principal.planes import PlaneTerms
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import at_confidence, mean_estimate
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance, looks

# of Student's intervals when they are compared, so that two that do not meet show an error; proven intervals stay
CONFIDENCE = 1 - 1e-6
COARSE = 0.1  # relative half-width at which a check has enough probes
ROUNDING = 1e3  # ulps of beta (T^2 + F) by which two formulas for K may differ


def curvature_check(evaluation: Evaluation, strategy: Strategy, space: RitzSpace) -> Estimate:
    """Return K by `convex_form`, as `inconsistent` where it disagrees with scalar_curvature.

    It rests on probes and on a Krylov space `space` that scalar_curvature does not use. Sampling ends when the
    half-width at 95 % is at most a tenth of K or a hundredth of what cancels in it, or when its budget is spent. Where
    H is written out `space` is R^P, and no probe is drawn.
    """
    found, noise = scalar_curvature(evaluation, strategy), noise_of(evaluation, strategy)
    along = gradient_facts(evaluation, double=True).slope
    terms, slack = TangentTerms(space, along), _slack(evaluation, strategy, found)
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_check(evaluation, strategy, terms, slack)

    def curvature(rows: np.ndarray, confidence: float) -> Estimate:
        return convex_form(rows, along, confidence).widened(slack)

    drawn: dict[Any, Any] = {}
    for m in looks(strategy.budget.check_probes):
        rows = evaluation.terms(m, terms, cache=drawn) + terms.known
        K = replace(curvature(rows, 0.95), num_matvecs=space.num_matvecs + m + 1 + noise.num_matvecs)
        T, F = rows.mean(axis=0)
        if m >= FIRST_LOOK and K.halfwidth <= COARSE * max(abs(K.value), along.beta * difference_floor(T * T, F)):
            K = K.with_status(Status.CONVERGED)
            break
    return compared(K, curvature(rows, CONFIDENCE), found.K)


def _dense_check(evaluation: Evaluation, strategy: Strategy, terms: TangentTerms, slack: float) -> Estimate:
    """Return K from the exact tr Pi H Pi and tr (Pi H Pi)^2, for H written out."""
    found, along, A = scalar_curvature(evaluation, strategy), terms.slope, dense_shape_operator(evaluation)
    T, F = (float(known) for known in terms.known)
    value = scalar_curvature_of(T, T * T, F, along.beta, -along.uhu, -along.across)
    size = along.beta * _cancelling(found, along)
    tolerance = Tolerance(strategy.rtol, along.beta * difference_floor(T * T, F))
    K = cancelled(A.estimate(value, slack if A.noise.norm else 0.0, tolerance), size)
    K = replace(K, num_matvecs=K.num_matvecs + 1, method="tangent hessian, written out")
    return compared(K, K.widened(slack), found.K)


def _slack(evaluation: Evaluation, strategy: Strategy, found: ScalarCurvature) -> float:
    """Return how far rounding may set two formulas for K apart: rounding of products, and of what cancels in K."""
    dtype = torch.float64 if strategy.dense_is_taken(evaluation.problem) else evaluation.problem.dtype
    noise, along = noise_of(evaluation, strategy), gradient_facts(evaluation, double=True).slope
    eps = torch.finfo(dtype).eps
    T, F = found.trace.value, found.trace_h2.value
    of_products = 2 * (abs(T) + along.beta * abs(along.uhu)) * noise.trace + noise.of_square(F)
    cancelling = _cancelling(found, along)
    return along.beta * (of_products + ROUNDING * eps * cancelling) + (UNDERFLOW if cancelling else 0.0)


def _cancelling(found: ScalarCurvature, along: Slope) -> float:
    """Return the size of the numbers whose difference is K / beta."""
    T, F = found.trace.value, found.trace_h2.value
    return T * T + F + 2 * (abs(T * along.uhu) + along.across + along.uhu**2)


def planes_at_random(evaluation: Evaluation, strategy: Strategy) -> np.ndarray:
    """Return the sectional curvatures of independent uniform planes, shape (planes,), in units of H^2.

    They take two products a plane, none where H is written out.
    """
    terms = _plane_terms(evaluation)
    if strategy.dense_is_taken(evaluation.problem):
        return terms(dense_hessian(evaluation).operator, evaluation.seed, range(strategy.budget.planes))[:, 0]
    return evaluation.terms(strategy.budget.planes, terms)[:, 0]


@remembered
def _plane_terms(evaluation: Evaluation) -> PlaneTerms:
    return PlaneTerms(gradient_facts(evaluation, double=True).gradient)


def mean_of_planes(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """Return the mean sectional curvature of random planes, as `inconsistent` where it is not K / (P (P - 1)).

    The standard deviation among planes is stderr sqrt(num_samples). Where H is written out the mean is that over all
    planes: the mean of the products of two principal curvatures.
    """
    found, noise = scalar_curvature(evaluation, strategy), noise_of(evaluation, strategy)
    pairs = evaluation.problem.num_params * (evaluation.problem.num_params - 1)
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_mean(evaluation, strategy)
    rows = planes_at_random(evaluation, strategy)
    # the rounding of K: the planes average the curvature of H as the products have it
    slack = _slack(evaluation, strategy, found) / pairs

    def mean(confidence: float) -> Estimate:
        return mean_estimate(rows, f"{len(rows)} random planes", confidence).widened(slack)

    quoted = replace(mean(0.95), num_matvecs=2 * len(rows) + noise.num_matvecs)
    if len(rows) < FIRST_LOOK:  # few and skewed terms have no interval to quote
        quoted = replace(quoted, lower=-np.inf, upper=np.inf)
    return compared(quoted, mean(CONFIDENCE), found.K.affine(1 / pairs, 0.0))


def _dense_mean(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """Return ((tr A)^2 - tr A^2) / (P (P - 1)), where A is the shape operator written out."""
    found, A = scalar_curvature(evaluation, strategy), dense_shape_operator(evaluation)
    along = gradient_facts(evaluation, double=True).slope
    P, t, f = len(A.matrix), float(A.matrix.trace()), float((A.matrix**2).sum())
    pairs = P * (P - 1)
    slack = _slack(evaluation, strategy, found) / pairs
    tolerance = Tolerance(strategy.rtol, difference_floor(t * t, f) / pairs)
    mean = A.estimate((t * t - f) / pairs, slack if A.noise.norm else 0.0, tolerance)
    mean = cancelled(mean, along.beta * _cancelling(found, along) / pairs)
    mean = replace(mean, method="all planes of two principal directions")
    return compared(mean, mean.widened(slack), found.K.affine(1 / pairs, 0.0))


def compared(quoted: Estimate, wide: Estimate, other: Estimate) -> Estimate:
    """Return `quoted`, as `inconsistent` where the intervals of `wide` and of `other`, at 99.9999 %, do not meet.

    `wide` is `quoted` at that confidence. Fewer than 32 terms decide nothing: sectional curvatures of a Hessian of low
    rank are so skewed that their interval is a guess. Estimates without terms do decide.
    """
    if Status.FAILED in (quoted.status, other.status):
        return quoted
    method = f"{quoted.method}; beside {other.value:.6g} in [{other.lower:.6g}, {other.upper:.6g}]"
    beside = replace(quoted, method=method)
    if 0 < quoted.num_samples < FIRST_LOOK:
        return beside
    other = at_confidence(other, CONFIDENCE)
    apart = wide.lower > other.upper or wide.upper < other.lower
    return beside.with_status(Status.INCONSISTENT) if apart else beside
