"""tr H alone, by the road that the structure allows."""

from dataclasses import replace
from functools import partial

from scalecurv.estimate import Estimate
from scalecurv.linalg.sequential import Tolerance, estimate_until
from scalecurv.measures.deflation import deflation, sampled_trace
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.known_trace import known_trace
from scalecurv.measures.noise import rounding
from scalecurv.measures.plan import Plan
from scalecurv.measures.scales import trace_floor


def trace_of(evaluation: Evaluation, plan: Plan) -> Estimate:
    """T by structure, else from H written out where that is taken, else from deflated terms.

    Of these as many as the tolerance of `plan` takes, until all is spent.
    """
    known = known_trace(evaluation, plan)
    if known is not None:
        return known.whole
    if plan.dense_is_taken(evaluation.problem):
        return dense_hessian(evaluation).trace(plan.rtol)
    taken, noise = deflation(evaluation, plan), rounding(evaluation)
    found = estimate_until(
        lambda m: taken.rows(evaluation, m),
        {"trace": partial(sampled_trace, noise=noise)},
        {"trace": Tolerance(plan.rtol, trace_floor(taken))},
        plan.budget.probes,
    )["trace"]
    return replace(found, num_matvecs=found.num_matvecs + taken.num_matvecs + noise.num_matvecs)
