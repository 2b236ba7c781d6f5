"""Other roads to the scalar curvature, each with its own products: where they do not meet, something is wrong."""

import math
from dataclasses import replace

import torch

from scalecurv.estimate import Estimate, Status
from scalecurv.linalg.ritz import RitzSpace
from scalecurv.measures.convex_form import CONFIDENCE, TangentTerms, compared, convex_form
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.noise import rounding
from scalecurv.measures.plan import Plan
from scalecurv.measures.planes import PlaneTerms
from scalecurv.measures.scalar_curvature import scalar_curvature
from scalecurv.measures.slope import slope
from scalecurv.student import mean_estimate

ROUNDING = 1e3  # ulps of beta (T^2 + F) by which two roads may differ


def tangent_road(evaluation: Evaluation, plan: Plan, space: RitzSpace) -> Estimate:
    """K by the convex form, from probes and a Krylov space that no other number rests on; beside scalar_curvature."""
    found, noise, along = scalar_curvature(evaluation, plan), rounding(evaluation), slope(evaluation)
    terms, m = TangentTerms(space, along), plan.budget.road
    rows = evaluation.terms(m, terms, ("tangent terms", plan)) + terms.known
    T, F = (float(mean) for mean in rows.mean(axis=0))
    eps = torch.finfo(evaluation.problem.dtype).eps
    slack = 2 * along.beta * (abs(T) + along.beta * abs(along.uhu)) * noise.trace + along.beta * noise.of_square(F)
    K = convex_form(rows, along).widened(slack + ROUNDING * eps * along.beta * (T * T + abs(F)))
    spent = space.num_matvecs + m + 1 + noise.num_matvecs
    return compared(replace(K, num_matvecs=spent), found.K)


def mean_of_planes(evaluation: Evaluation, plan: Plan) -> Estimate:
    """The mean sectional curvature of planes at random, at 95 %; beside K / (P (P - 1)), which it should be.

    `inconsistent` where that lies outside the interval at 99.99 %. The spread among planes is stderr sqrt(num_samples).
    """
    facts, found, P = (
        gradient_facts(evaluation, double=True),
        scalar_curvature(evaluation, plan),
        evaluation.problem.num_params,
    )
    count = plan.budget.planes
    rows = evaluation.terms(count, PlaneTerms(facts.gradient), "random planes")[:, 0]
    expected = replace(found.K.affine(1 / (P * (P - 1)), 0.0), num_matvecs=0)
    noise, eps = rounding(evaluation), torch.finfo(evaluation.problem.dtype).eps
    size = facts.beta * (2 * math.sqrt(max(found.trace_h2.value, 0.0)) * noise.norm + noise.norm**2)
    wide = mean_estimate(rows, "", CONFIDENCE).widened(size + ROUNDING * eps * facts.beta * found.trace_h2.value)
    verdict = compared(wide, expected)
    mean = mean_estimate(rows, f"{count} random planes{verdict.method}")
    status = verdict.status if verdict.status is Status.INCONSISTENT else mean.status
    return replace(mean, num_matvecs=2 * count, status=status)
