"""The Gauss-Newton side of the Hessian: what the loss bends, without what the model bends."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from scalecurv.linalg import hutchinson
from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.hutchinson import trace_estimate
from scalecurv.linalg.krylov.extremes import ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.dense import dense_gauss_newton, dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import dominant_is_known
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.moments.exact import exact_norms, known_trace
from scalecurv.measures.noise import VISIBLE, Rounding, rounding_in_double
from scalecurv.measures.rank.exact import homogeneous_mlp
from scalecurv.measures.route import Strategy
from scalecurv.mlp.euler_bounds import euler_bounds
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.stopping import Tolerance, estimate_until

STREAM = "gauss-newton start"
SLACK = 1e-9  # of the bound: what rounding may do to it


@dataclass(frozen=True)
class GaussNewton(RoutedMeasure):
    """trace_ggn and lambda_max_ggn of G = J'MJ, euler_bound below the latter, residual_share |H - G|_F / |H|_F.

    All in float64, as H - G is a difference; products are counted apart from those of the measures before it, as many
    as `max_matvecs` again at most. lambda_max_ggn is certified as lambda_max is, and `inconsistent` where euler_bound,
    which holds for MLPs of homogeneous activations, lies above its interval. Where H is written out so is G.
    """

    name: ClassVar[str] = "gauss_newton"
    version: ClassVar[int] = 2
    quantities: ClassVar[tuple[str, ...]] = ("trace_ggn", "lambda_max_ggn", "euler_bound", "residual_share")

    def compute(self, evaluation: Evaluation) -> Findings:
        trace, largest = _dense(evaluation, self.strategy) or _sampled(evaluation, self.strategy)
        below = _euler_bound(evaluation)
        if largest.upper < below.value * (1 - SLACK):
            method = f"{largest.method}; euler_bound {below.value:.6g} lies above it"
            largest = replace(largest, status=Status.INCONSISTENT, method=method)
        return Findings(
            {
                "trace_ggn": trace,
                "lambda_max_ggn": largest,
                "euler_bound": below,
                "residual_share": residual_share(evaluation, self.strategy),
            }
        )


def _dense(evaluation: Evaluation, strategy: Strategy) -> tuple[Estimate, Estimate] | None:
    """tr G and its largest eigenvalue from G written out, where H may be; the trace from structure as ever."""
    if not strategy.dense_is_taken(evaluation.problem):
        return None
    G, known = dense_gauss_newton(evaluation), known_trace(evaluation, strategy)
    return G.trace(strategy.rtol) if known is None else known.whole, G.ends(strategy.rtol).largest


def _sampled(evaluation: Evaluation, strategy: Strategy) -> tuple[Estimate, Estimate]:
    """The same from a Lanczos run, and from probes outside its space."""
    run, noise = _run(evaluation, strategy), _noise(evaluation)
    largest = ends_of(run, strategy.rtol, noise.norm).charged(noise.num_matvecs).largest
    return _trace(evaluation, strategy, run), largest


def _run(evaluation: Evaluation, strategy: Strategy) -> Lanczos:
    """The first steps of a Lanczos run on G that know its largest eigenvalue, or as many as there may be."""
    problem = evaluation.double
    capacity = strategy.budget.vectors(strategy.memory, problem.num_params * problem.dtype.itemsize)
    process = started(evaluation.gauss_newton, evaluation.seed, min(capacity, strategy.budget.ggn_steps), STREAM)
    known = Status.CERTIFIED
    return first_look(process, lambda run: ends_of(run, strategy.rtol).largest.status is known, process.capacity)


def _trace(evaluation: Evaluation, strategy: Strategy, run: Lanczos) -> Estimate:
    """tr H where structure makes the two equal, else Hutchinson's estimator outside the space of the run."""
    known = known_trace(evaluation, strategy)
    if known is not None:
        return known.whole
    terms = DeflatedTerms(RitzSpace.of(run))
    name = ("gauss-newton terms", len(run.alphas))
    found = estimate_until(
        lambda m: evaluation.terms(m, terms, name, GaussNewtonOperator, double=True) + terms.known,
        {"trace": lambda rows: trace_estimate(rows, "deflated hutchinson")},
        {"trace": Tolerance(strategy.rtol)},
        strategy.budget.ggn_probes,
    )["trace"]
    noise = _noise(evaluation)
    return replace(found, num_matvecs=found.num_matvecs + run.num_matvecs + noise.num_matvecs).widened(noise.trace)


def _noise(evaluation: Evaluation) -> Rounding:
    """What rounding does to G: nothing to speak of by factors that do not cancel, and who knows by autograd alone."""
    return rounding_in_double(evaluation) if evaluation.problem.loss.foreign else Rounding()


def _euler_bound(evaluation: Evaluation) -> Estimate:
    mlp = homogeneous_mlp(evaluation.double)
    if mlp is None or evaluation.double.loss.factor is None:
        return Estimate.not_applicable("not an MLP of homogeneous activations, or a loss of no known factor")
    bounds = euler_bounds(evaluation.double, mlp)
    return Estimate.exact(float(bounds.max()), f"one of {len(bounds)} directions in which the outputs grow")


RESIDUAL_STREAM = "residual start"
ROUNDING = 1e-14  # of |H|_F: what is left of H - G where nothing should be


def residual_share(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """|R|_F / |H|_F, R = H - G: 0 where the data is fitted exactly, so that H = G. Not applicable where H is 0.

    Exact by structure where tr H^2 is, or from both matrices where they are written out, else by deflated Hutchinson on
    R, in float64, until the half-width is rtol of 1: a share is not asked for relative to itself.
    """
    norms = exact_norms(evaluation, strategy)
    if norms is not None:
        whole, rest = float(norms.sum()), float(norms[2].sum())
        if not whole > 0:
            return Estimate.not_applicable("the Hessian is 0")
        return Estimate.exact(math.sqrt(max(rest, 0.0) / whole), "sum over pairs of samples and layers")
    F = scalar_curvature(evaluation, strategy).trace_h2
    if F.status is Status.FAILED:
        return replace(F, method="tr H^2 failed")
    if not F.lower > 0:
        return Estimate.not_applicable("tr H^2 may be 0")
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_share(evaluation, strategy, F)
    terms, steps = _deflated(evaluation, strategy)
    found = estimate_until(
        lambda m: evaluation.terms(m, terms, ("residual terms", strategy), ResidualOperator, double=True) + terms.known,
        {"share": lambda rows: share_of(hutchinson.trace_square_estimate(rows), F)},
        {"share": Tolerance(strategy.rtol, 1.0)},
        strategy.budget.residual_probes,
    )["share"]
    found = replace(found, lower=max(found.lower - ROUNDING, 0.0), upper=found.upper + ROUNDING)
    return replace(found, num_matvecs=F.num_matvecs + ResidualOperator.cost * (steps + found.num_samples))


def _dense_share(evaluation: Evaluation, strategy: Strategy, F: Estimate) -> Estimate:
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
    return Tolerance(strategy.rtol, 1.0).settle(found, Status.CERTIFIED)


def _deflated(evaluation: Evaluation, strategy: Strategy) -> tuple[DeflatedTerms, int]:
    """Terms of R outside the space of the first steps that know its dominant eigenvalue, and how many these were."""
    P, itemsize = evaluation.double.num_params, evaluation.double.dtype.itemsize
    capacity = min(strategy.budget.vectors(strategy.memory, P * itemsize), strategy.budget.residual_steps)
    process = started(evaluation.residual, evaluation.seed, capacity, RESIDUAL_STREAM)
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
