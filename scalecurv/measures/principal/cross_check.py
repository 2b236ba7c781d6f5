"""The scalar curvature cross-checked by other formulas and products: where they do not meet, something is wrong."""

from dataclasses import replace

import numpy as np
import torch

from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.linalg.krylov.extremes import UNDERFLOW
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.curvature.scalar import ScalarCurvature, scalar_curvature
from scalecurv.measures.dense import dense_hessian, dense_shape_operator, noise_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import Slope, gradient_facts, slope
from scalecurv.measures.moments.deflation import difference_floor
from scalecurv.measures.noise import cancelled
from scalecurv.measures.principal.convex_form import TangentTerms, convex_form
from scalecurv.measures.principal.planes import PlaneTerms
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import at_confidence, mean_estimate
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance, looks

# of each Student's interval of the verdict: wide, so that a miss means that something is wrong; proven ones stay
CONFIDENCE = 1 - 1e-6
COARSE = 0.1  # of K: as well as a check need know it
ROUNDING = 1e3  # ulps of beta (T^2 + F) by which two roads may differ


def curvature_check(evaluation: Evaluation, strategy: Strategy, space: RitzSpace) -> Estimate:
    """K by the convex form, from probes and a Krylov space that no other number rests on; beside scalar_curvature.

    Drawn until the 95 % interval is within a tenth of K, or of what cancels in it, or all of its share is spent. Where
    H is written out `space` is everything, and nothing is left to be drawn.
    """
    found, noise, along = scalar_curvature(evaluation, strategy), noise_of(evaluation, strategy), slope(evaluation)
    terms, slack = TangentTerms(space, along), _slack(evaluation, strategy, found)
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_check(evaluation, strategy, terms, slack)

    def curvature(rows: np.ndarray, confidence: float) -> Estimate:
        return convex_form(rows, along, confidence).widened(slack)

    for m in looks(strategy.budget.check_probes):
        rows = evaluation.terms(m, terms, ("tangent terms", strategy)) + terms.known
        K = replace(curvature(rows, 0.95), num_matvecs=space.num_matvecs + m + 1 + noise.num_matvecs)
        T, F = rows.mean(axis=0)
        if m >= FIRST_LOOK and K.halfwidth <= COARSE * max(abs(K.value), along.beta * difference_floor(T * T, F)):
            K = K.with_status(Status.CONVERGED)
            break
    return compared(K, curvature(rows, CONFIDENCE), found.K)


def _dense_check(evaluation: Evaluation, strategy: Strategy, terms: TangentTerms, slack: float) -> Estimate:
    """The convex form itself, from the trace and the square of H on the level set."""
    found, along, A = scalar_curvature(evaluation, strategy), terms.slope, dense_shape_operator(evaluation)
    T, F = (float(known) for known in terms.known)
    value = scalar_curvature_of(T, T * T, F, along.beta, -along.uhu, -along.across)
    size = along.beta * _cancelling(found, along)
    tolerance = Tolerance(strategy.rtol, along.beta * difference_floor(T * T, F))
    K = cancelled(A.estimate(value, slack if A.noise.norm else 0.0, tolerance), size)
    K = replace(K, num_matvecs=K.num_matvecs + 1, method="tangent hessian, written out")
    return compared(K, K.widened(slack), found.K)


def _slack(evaluation: Evaluation, strategy: Strategy, found: ScalarCurvature) -> float:
    """By how much rounding may set two roads to K apart: that of the products, and of what cancels in K."""
    dtype = torch.float64 if strategy.dense_is_taken(evaluation.problem) else evaluation.problem.dtype
    noise, along, eps = noise_of(evaluation, strategy), slope(evaluation), torch.finfo(dtype).eps
    T, F = found.trace.value, found.trace_h2.value
    of_products = 2 * (abs(T) + along.beta * abs(along.uhu)) * noise.trace + noise.of_square(F)
    cancelling = _cancelling(found, along)
    return along.beta * (of_products + ROUNDING * eps * cancelling) + (UNDERFLOW if cancelling else 0.0)


def _cancelling(found: ScalarCurvature, along: Slope) -> float:
    """The size of what K / beta is a difference of."""
    T, F = found.trace.value, found.trace_h2.value
    return T * T + F + 2 * (abs(T * along.uhu) + along.across + along.uhu**2)


def planes_at_random(evaluation: Evaluation, strategy: Strategy) -> np.ndarray:
    """Sectional curvatures of independent uniform planes, remembered; without products where H is written out."""
    terms = PlaneTerms(gradient_facts(evaluation, double=True).gradient)
    if strategy.dense_is_taken(evaluation.problem):
        return terms(dense_hessian(evaluation).operator, evaluation.seed, range(strategy.budget.planes))[:, 0]
    return evaluation.terms(strategy.budget.planes, terms, "random planes")[:, 0]


def mean_of_planes(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """The mean sectional curvature of planes at random; beside K / (P (P - 1)), which it should be.

    The spread among planes is stderr sqrt(num_samples). Where H is written out it is the mean of all planes: that of
    the products of two principal curvatures.
    """
    found, noise, P = (
        scalar_curvature(evaluation, strategy),
        noise_of(evaluation, strategy),
        evaluation.problem.num_params,
    )
    pairs = P * (P - 1)
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_mean(evaluation, strategy)
    rows = planes_at_random(evaluation, strategy)
    # what rounding does to K itself: the planes average the curvature of the H that products multiply by
    slack = _slack(evaluation, strategy, found) / pairs

    def mean(confidence: float) -> Estimate:
        return mean_estimate(rows, f"{len(rows)} random planes", confidence).widened(slack)

    quoted = replace(mean(0.95), num_matvecs=2 * len(rows) + noise.num_matvecs)
    if len(rows) < FIRST_LOOK:  # so few terms, so skewed, have no interval to quote
        quoted = replace(quoted, lower=-np.inf, upper=np.inf)
    return compared(quoted, mean(CONFIDENCE), found.K.affine(1 / pairs, 0.0))


def _dense_mean(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """((tr A)^2 - tr A^2) / (P (P - 1)), A the shape operator."""
    found, along, A = scalar_curvature(evaluation, strategy), slope(evaluation), dense_shape_operator(evaluation)
    P, t, f = len(A.matrix), float(A.matrix.trace()), float((A.matrix**2).sum())
    pairs = P * (P - 1)
    slack, tolerance = (
        _slack(evaluation, strategy, found) / pairs,
        Tolerance(strategy.rtol, difference_floor(t * t, f) / pairs),
    )
    mean = A.estimate((t * t - f) / pairs, slack if A.noise.norm else 0.0, tolerance)
    mean = cancelled(mean, along.beta * _cancelling(found, along) / pairs)
    mean = replace(mean, method="all planes of two principal directions")
    return compared(mean, mean.widened(slack), found.K.affine(1 / pairs, 0.0))


def compared(quoted: Estimate, wide: Estimate, other: Estimate) -> Estimate:
    """`quoted`, as `inconsistent` where its interval and that of `other` at 99.9999 % do not meet; `wide` is the first.

    Fewer than 32 terms decide nothing: planes of a Hessian of low rank are so skewed that their interval is a guess.
    What no term was drawn for decides.
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
