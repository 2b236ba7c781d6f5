"""K and T^2 - F by each route: from H written out, from a trace that structure gives, or from deflated terms."""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from scalecurv.geometry.scalar import scalar_curvature_estimate, scalar_curvature_of
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.moments.deflation import (
    METHOD,
    deflation,
    difference_floor,
    sampled_moment,
    sampled_trace,
    settled,
    trace_floor,
)
from scalecurv.measures.moments.exact import exact_square
from scalecurv.measures.moments.known import known_trace
from scalecurv.measures.moments.square import square_with_layers
from scalecurv.measures.noise import Perturbation, cancelled, rounding
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance, estimate_until

OF_TRACE = 0.5  # of the tolerance of K: the part that the error of a sampled T may take


@dataclass(frozen=True)
class ScalarCurvature:
    """K, T^2 - F, and the T and F that they were computed from.

    `steps` counts the products of the Lanczos run that they share, or those that wrote H out; `own` those of T alone.
    """

    K: Estimate
    difference: Estimate
    trace: Estimate
    trace_h2: Estimate
    steps: int = 0
    own: int = 0

    def matvecs_with(self, steps: int) -> int:
        """Return the number of products of T, F and the first `steps` of their Lanczos run, each counted once."""
        return self.own + self.trace_h2.num_matvecs - self.steps + max(self.steps, steps)


@remembered
def scalar_curvature(evaluation: Evaluation, strategy: Strategy) -> ScalarCurvature:
    """Return K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg), T = tr H and F = tr H^2; remembered.

    Sampling ends when K is inside the tolerance of `strategy`, or when its budget is spent.
    """
    trace = known_trace(evaluation, strategy)
    if strategy.dense_is_taken(evaluation.problem) and (trace is None or exact_square(evaluation, strategy) is None):
        return _dense(evaluation, strategy, trace.whole if trace else dense_hessian(evaluation).trace(strategy.rtol))
    return _generic(evaluation, strategy) if trace is None else _structured(evaluation, strategy, trace.whole)


def _dense(evaluation: Evaluation, strategy: Strategy, T: Estimate) -> ScalarCurvature:
    """Return K from H written out, for a trace T from H or from the structure of an MLP."""
    facts, H = gradient_facts(evaluation, double=True), dense_hessian(evaluation)
    F, beta, t = H.square(strategy.rtol), facts.beta, T.value
    of_trace, of_square = T.halfwidth, H.noise.of_square(F.value)
    floor = difference_floor(t * t, F.value)
    value = scalar_curvature_of(t, t * t, F.value, beta, facts.ghg, facts.gh2g)
    slack = (2 * beta * abs(t) + 2 * beta**2 * abs(facts.ghg)) * of_trace + beta * of_square
    K = cancelled(
        H.estimate(value, slack, Tolerance(strategy.rtol, beta * floor)),
        beta * (t * t + F.value) + 2 * beta**2 * (facts.gh2g + abs(t * facts.ghg)),
    )
    difference = H.estimate(t * t - F.value, 2 * abs(t) * of_trace + of_square, Tolerance(strategy.rtol, floor))
    K = K.charged(1)  # the gradient's product
    return ScalarCurvature(K, cancelled(difference, t * t + F.value), T, F, H.num_matvecs)


def _structured(evaluation: Evaluation, strategy: Strategy, T: Estimate) -> ScalarCurvature:
    """Return K for a trace T that is found without F, and F that is an exact sum or sampled.

    K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg) is linear in F: its error is beta times that of F, and where T is
    sampled that of T beside it. T is then sampled until its part is at most half of what is asked, and F no sharper
    than that part makes worth while.
    """
    facts = gradient_facts(evaluation, double=True)
    beta, exact = facts.beta, T.status is Status.EXACT

    def slope() -> float:
        return 2 * beta * T.value - 2 * beta**2 * facts.ghg

    def squared() -> float:
        bias = 0.0 if math.isnan(T.stderr) else T.stderr * T.stderr  # E T.value^2 = T^2 + stderr^2
        return T.value * T.value - bias

    def judged(F: Estimate) -> tuple[Estimate, Tolerance]:
        floor = beta * difference_floor(squared(), F.value)
        offset = beta * squared() + 2 * beta**2 * (facts.gh2g - T.value * facts.ghg)
        K = _with_error_of(F.affine(-beta, offset), slope(), T)
        return replace(K, num_matvecs=F.num_matvecs + T.num_matvecs + 1), Tolerance(strategy.rtol, floor)

    def curvature(F: Estimate) -> Estimate:
        return settled(*judged(F))

    def needed(F: Estimate) -> float:
        sharpen(F)
        K, tolerance = judged(F)
        if curvature(F).status is not Status.BUDGET:
            return 0.0
        asked, part = tolerance.at(K.value), abs(slope()) * T.halfwidth
        if part < asked or not asked:
            return max(tolerance.terms_needed(K), F.num_samples + 1)
        return F.num_samples * (beta * F.halfwidth / (OF_TRACE * part)) ** 2

    def sharpen(F: Estimate) -> None:
        nonlocal T
        K, tolerance = judged(F)
        asked, per = OF_TRACE * tolerance.at(K.value), abs(slope() * T.value)  # of K, for T off by its own size
        if not exact and per * T.halfwidth > asked * abs(T.value) > 0:
            sharper = known_trace(evaluation, replace(strategy, rtol=asked / per), deflating=False)
            T = T if sharper is None else sharper.whole

    def difference(F: Estimate) -> Estimate:
        found = _with_error_of(F.affine(-1.0, squared()), 2 * T.value, T)
        found = replace(found, num_matvecs=F.num_matvecs + T.num_matvecs)
        return settled(found, Tolerance(strategy.rtol, difference_floor(squared(), F.value)))

    squares = exact_square(evaluation, strategy)
    if squares is not None:
        F = squares[""]
        sharpen(F)
        return ScalarCurvature(curvature(F), difference(F), T, F, own=T.num_matvecs)
    square = square_with_layers(evaluation, strategy, T.value if exact else None, needed)
    F, steps = square.whole, 0
    if square.layers is None:  # deflated terms, whose Lanczos run the ends of the spectrum share
        steps = deflation(evaluation, strategy).krylov.space.num_matvecs + rounding(evaluation).num_matvecs
    F_settled = settled(F, Tolerance(strategy.rtol))
    return ScalarCurvature(curvature(F), difference(F), T, F_settled, steps, T.num_matvecs)


def _with_error_of(estimate: Estimate, slope: float, T: Estimate) -> Estimate:
    """Return the estimate with `slope` times the error of T added as an independent one; unchanged where T is exact."""
    if T.status is Status.EXACT:
        return estimate
    half = math.hypot(estimate.halfwidth, slope * T.halfwidth)
    own, of_trace = (0.0 if math.isnan(stderr) else stderr for stderr in (estimate.stderr, T.stderr))
    stderr = math.hypot(own, slope * of_trace)
    status = Status.BUDGET if estimate.status is Status.EXACT else estimate.status
    value = estimate.value
    return replace(
        estimate, stderr=stderr, lower=value - half, upper=value + half, confidence=T.confidence, status=status
    )


def _generic(evaluation: Evaluation, strategy: Strategy) -> ScalarCurvature:
    """Return K from deflated terms: T^2 by a U-statistic, errors by the jackknife.

    The jackknife over terms takes the covariance of the sums for T and F into account.
    """
    facts, deflated = gradient_facts(evaluation, double=True), deflation(evaluation, strategy)
    noise, limit = rounding(evaluation), strategy.budget.probes
    first = deflated.rows(evaluation, min(FIRST_LOOK, limit))[:, :2].mean(axis=0)
    floor = facts.beta * difference_floor(first[0] ** 2, first[1])
    found = estimate_until(
        lambda m: deflated.rows(evaluation, m)[:, :2],
        {
            "K": partial(_sampled, noise=noise, beta=facts.beta, ghg=facts.ghg, gh2g=facts.gh2g),
            "difference": partial(_sampled, noise=noise, beta=1.0, ghg=0.0, gh2g=0.0),
            "trace": partial(sampled_trace, noise=noise),
            "trace_h2": partial(sampled_moment, noise=noise),
        },
        {"K": Tolerance(strategy.rtol, floor)},
        limit,
    )
    steps = deflated.krylov.space.num_matvecs + noise.num_matvecs
    spent = deflated.num_matvecs + noise.num_matvecs
    charged = {name: replace(e, num_matvecs=e.num_samples + spent) for name, e in found.items()}
    K = charged["K"].charged(1)  # the gradient's product
    difference = Tolerance(strategy.rtol, floor / facts.beta).settle(charged["difference"])
    trace = Tolerance(strategy.rtol, trace_floor(deflated)).settle(charged["trace"])
    square = Tolerance(strategy.rtol).settle(charged["trace_h2"])
    return ScalarCurvature(K, difference, trace, square, steps)


def _sampled(rows: np.ndarray, noise: Perturbation, beta: float, ghg: float, gh2g: float) -> Estimate:
    """Return K from deflated terms, with the rounding of T and F in its interval."""
    found = scalar_curvature_estimate(rows, beta, ghg, gh2g)
    T, F = (float(mean) for mean in rows.mean(axis=0))
    slack = (2 * beta * abs(T) + 2 * beta**2 * abs(ghg)) * noise.trace + beta * noise.of_square(F)
    return replace(found, method=f"{METHOD}, {found.method}").widened(slack)
