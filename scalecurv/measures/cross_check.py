"""The scalar curvature cross-checked by other formulas and products: where they do not meet, something is wrong."""

from dataclasses import replace

import numpy as np
import torch

from scalecurv.estimate import Estimate, Status
from scalecurv.linalg.extremes import UNDERFLOW
from scalecurv.linalg.ritz import RitzSpace
from scalecurv.linalg.sequential import FIRST_LOOK, looks
from scalecurv.measures.convex_form import TangentTerms, convex_form
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.noise import rounding
from scalecurv.measures.plan import Plan
from scalecurv.measures.planes import PlaneTerms
from scalecurv.measures.scalar_curvature import ScalarCurvature, scalar_curvature
from scalecurv.measures.scales import difference_floor
from scalecurv.measures.slope import slope
from scalecurv.student import at_confidence, mean_estimate

CONFIDENCE = 1 - 1e-6  # of the verdict: wide, so that an interval which misses means that something is wrong
COARSE = 0.1  # of K: as well as a check need know it
ROUNDING = 1e3  # ulps of beta (T^2 + F) by which two roads may differ


def curvature_check(evaluation: Evaluation, plan: Plan, space: RitzSpace) -> Estimate:
    """K by the convex form, from probes and a Krylov space that no other number rests on; beside scalar_curvature.

    Drawn until the 95 % interval is within a tenth of K, or of what cancels in it, or all of its share is spent.
    """
    found, noise, along = scalar_curvature(evaluation, plan), rounding(evaluation), slope(evaluation)
    terms, slack = TangentTerms(space, along), _slack(evaluation, found)

    def curvature(rows: np.ndarray, confidence: float) -> Estimate:
        return convex_form(rows, along, confidence).widened(slack)

    for m in looks(plan.budget.check_probes):
        rows = evaluation.terms(m, terms, ("tangent terms", plan)) + terms.known
        K = replace(curvature(rows, 0.95), num_matvecs=space.num_matvecs + m + 1 + noise.num_matvecs)
        T, F = rows.mean(axis=0)
        if m >= FIRST_LOOK and K.halfwidth <= COARSE * max(abs(K.value), along.beta * difference_floor(T * T, F)):
            K = K.with_status(Status.CONVERGED)
            break
    return compared(K, curvature(rows, CONFIDENCE), found.K)


def _slack(evaluation: Evaluation, found: ScalarCurvature) -> float:
    """By how much rounding may set two roads to K apart: that of the products, and of what cancels in K."""
    noise, along, eps = rounding(evaluation), slope(evaluation), torch.finfo(evaluation.problem.dtype).eps
    T, F = found.trace.value, found.trace_h2.value
    of_products = 2 * (abs(T) + along.beta * abs(along.uhu)) * noise.trace + noise.of_square(F)
    cancelling = T * T + F + 2 * (abs(T * along.uhu) + along.across + along.uhu**2)
    return along.beta * (of_products + ROUNDING * eps * cancelling) + (UNDERFLOW if cancelling else 0.0)


def planes_at_random(evaluation: Evaluation, plan: Plan) -> np.ndarray:
    """Sectional curvatures of independent uniform planes, remembered."""
    terms = PlaneTerms(gradient_facts(evaluation, double=True).gradient)
    return evaluation.terms(plan.budget.planes, terms, "random planes")[:, 0]


def mean_of_planes(evaluation: Evaluation, plan: Plan) -> Estimate:
    """The mean sectional curvature of planes at random; beside K / (P (P - 1)), which it should be.

    The spread among planes is stderr sqrt(num_samples).
    """
    found, noise = scalar_curvature(evaluation, plan), rounding(evaluation)
    rows, P = planes_at_random(evaluation, plan), evaluation.problem.num_params
    # what rounding does to K itself: the planes average the curvature of the H that products multiply by
    slack = _slack(evaluation, found) / (P * (P - 1))

    def mean(confidence: float) -> Estimate:
        return mean_estimate(rows, f"{len(rows)} random planes", confidence).widened(slack)

    quoted = replace(mean(0.95), num_matvecs=2 * len(rows) + noise.num_matvecs)
    if len(rows) < FIRST_LOOK:  # so few terms, so skewed, have no interval to quote
        quoted = replace(quoted, lower=-np.inf, upper=np.inf)
    return compared(quoted, mean(CONFIDENCE), found.K.affine(1 / (P * (P - 1)), 0.0))


def compared(quoted: Estimate, wide: Estimate, other: Estimate) -> Estimate:
    """`quoted`, as `inconsistent` where its interval and that of `other` at 99.9999 % do not meet; `wide` is the first.

    Fewer than 32 terms decide nothing: planes of a Hessian of low rank are so skewed that their interval is a guess.
    """
    if Status.FAILED in (quoted.status, other.status):
        return quoted
    method = f"{quoted.method}; beside {other.value:.6g} in [{other.lower:.6g}, {other.upper:.6g}]"
    beside = replace(quoted, method=method)
    if quoted.num_samples < FIRST_LOOK:
        return beside
    other = at_confidence(other, CONFIDENCE)
    apart = wide.lower > other.upper or wide.upper < other.lower
    return beside.with_status(Status.INCONSISTENT) if apart else beside
