"""How far from interpolation: the share of the Hessian that the residuals weigh."""

import math
from dataclasses import replace

from scalecurv.curvature.residual import ResidualOperator
from scalecurv.estimate import NAN, Estimate, Status
from scalecurv.linalg import hutchinson
from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.extremes import first_look, started
from scalecurv.linalg.ritz import RitzSpace
from scalecurv.linalg.sequential import Tolerance, estimate_until
from scalecurv.measures.cancelled import VISIBLE
from scalecurv.measures.dense import dense_gauss_newton, dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.exact_square import exact_norms
from scalecurv.measures.krylov import dominant_is_known
from scalecurv.measures.plan import Plan
from scalecurv.measures.scalar_curvature import scalar_curvature

STREAM = "residual start"
ROUNDING = 1e-14  # of |H|_F: what is left of H - G where nothing should be


def residual_share(evaluation: Evaluation, plan: Plan) -> Estimate:
    """|R|_F / |H|_F, R = H - G: 0 where the data is fitted exactly, so that H = G. Not applicable where H is 0.

    Exact by structure where tr H^2 is, or from both matrices where they are written out, else by deflated Hutchinson on
    R, in float64, until the half-width is rtol of 1: a share is not asked for relative to itself.
    """
    norms = exact_norms(evaluation, plan)
    if norms is not None:
        whole, rest = float(norms.sum()), float(norms[2].sum())
        if not whole > 0:
            return Estimate.not_applicable("the Hessian is 0")
        return Estimate.exact(math.sqrt(max(rest, 0.0) / whole), "sum over pairs of samples and layers")
    F = scalar_curvature(evaluation, plan).trace_h2
    if F.status is Status.FAILED:
        return replace(F, method="tr H^2 failed")
    if not F.lower > 0:
        return Estimate.not_applicable("tr H^2 may be 0")
    if plan.dense_is_taken(evaluation.problem):
        return _dense(evaluation, plan, F)
    terms, steps = _deflated(evaluation, plan)
    found = estimate_until(
        lambda m: evaluation.terms(m, terms, ("residual terms", plan), ResidualOperator, double=True) + terms.known,
        {"share": lambda rows: share_of(hutchinson.trace_square_estimate(rows), F)},
        {"share": Tolerance(plan.rtol, 1.0)},
        plan.budget.residual_probes,
    )["share"]
    found = replace(found, lower=max(found.lower - ROUNDING, 0.0), upper=found.upper + ROUNDING)
    return replace(found, num_matvecs=F.num_matvecs + ResidualOperator.cost * (steps + found.num_samples))


def _dense(evaluation: Evaluation, plan: Plan, F: Estimate) -> Estimate:
    """From H and G written out; exact but where rounding shows in it."""
    H, G = dense_hessian(evaluation), dense_gauss_newton(evaluation)
    noise, square = H.noise.norm + G.noise.norm, float(((H.matrix - G.matrix) ** 2).sum())
    cost, method = F.num_matvecs + G.num_matvecs, f"H and G written out, {len(H.matrix)} products each"
    share = math.sqrt(square / F.value)
    if not noise:
        exact = Estimate.exact(share, method, cost)
        found = exact if VISIBLE * share >= ROUNDING else exact.widened(ROUNDING).with_status(Status.CERTIFIED)
        return replace(found, lower=max(found.lower, 0.0))
    size = math.sqrt(square)
    low, high = max(size - noise, 0.0) / math.sqrt(F.upper), (size + noise) / math.sqrt(F.lower)
    found = Estimate.enclosed(
        share, low, high, method, Status.BUDGET, confidence=max(0.0, 2 * F.confidence - 1), num_matvecs=cost
    )
    return Tolerance(plan.rtol, 1.0).settle(found, Status.CERTIFIED)


def _deflated(evaluation: Evaluation, plan: Plan) -> tuple[DeflatedTerms, int]:
    """Terms of R outside the space of the first steps that know its dominant eigenvalue, and how many these were."""
    P, itemsize = evaluation.double.num_params, evaluation.double.dtype.itemsize
    capacity = min(plan.budget.vectors(plan.memory, P * itemsize), plan.budget.residual_steps)
    process = started(evaluation.residual, evaluation.seed, capacity, STREAM)
    run = first_look(process, dominant_is_known, process.capacity)
    return DeflatedTerms(RitzSpace.of(run)), run.num_matvecs


def share_of(square: Estimate, whole: Estimate) -> Estimate:
    """sqrt(square / whole) over all that both intervals allow; the standard error is that of `square` alone."""
    value = math.sqrt(square.value / whole.value)
    lower, upper = math.sqrt(max(square.lower, 0.0) / whole.upper), math.sqrt(square.upper / whole.lower)
    stderr = square.stderr / (2 * whole.value * value) if value else NAN
    confidence = max(0.0, square.confidence + whole.confidence - 1)
    return replace(
        square, value=value, stderr=stderr, lower=lower, upper=upper, confidence=confidence,
        method="deflated hutchinson",
    )  # fmt: skip
