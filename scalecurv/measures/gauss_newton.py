"""The Gauss-Newton matrix G = J'MJ, and the share of the Hessian H that is not in it, |H - G|_F / |H|_F."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from scalecurv.linalg import hutchinson
from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.hutchinson import trace_estimate
from scalecurv.linalg.krylov.extremes import EVERY, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.cost import MeasureCost, bytes_of
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.dense import dense_gauss_newton, dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import dominant_is_known
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.moments.exact import exact_norms, gauss_newton_trace, mlp_trace
from scalecurv.measures.noise import VISIBLE, Perturbation, rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.mlp.euler_bounds import euler_bounds
from scalecurv.mlp.layers import homogeneous_mlp
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.stopping import Tolerance, estimate_until

GGN_STREAM = "gauss-newton start"
RESIDUAL_STREAM = "residual start"
SLACK = 1e-9  # relative rounding error of euler_bound
ROUNDING = 1e-14  # of |H|_F: the size of H - G by rounding alone, where H = G


@dataclass(frozen=True)
class GaussNewton(RoutedMeasure):
    """The Gauss-Newton matrix G = J'MJ, where M is the second derivative of the loss in the outputs.

    trace_ggn: tr G.
    lambda_max_ggn: the largest eigenvalue of G, certified as lambda_max is. Its status is `inconsistent` where
        euler_bound lies above its interval.
    euler_bound: a lower bound on lambda_max_ggn for MLPs of homogeneous activations.
    residual_share: |H - G|_F / |H|_F, which is 0 where the data is fitted exactly.

    The first three have the units of H. Products with G and R = H - G are in float64, as R is a difference of nearly
    equal matrices, and are not shared with other measures: at most `max_matvecs` of them. tr H^2, for |H|_F, is that of
    `curvature`. Where H is written out (see `Strategy`), G is written out too.
    """

    name: ClassVar[str] = "gauss_newton"
    version: ClassVar[int] = 4
    quantities: ClassVar[tuple[str, ...]] = ("trace_ggn", "lambda_max_ggn", "euler_bound", "residual_share")

    def cost(self, problem: Problem) -> MeasureCost:
        size, P = bytes_of(problem, self.strategy), problem.num_params
        if self.strategy.dense_is_taken(problem):  # H too, unless its moments are exact sums
            return MeasureCost(own=P, written_out=0 if self.is_sum(problem) else P, bytes=size)
        # T and F come from the products that moments takes too
        return replace(super().cost(problem), own=self.max_matvecs, own_probes=self.max_matvecs // 2)

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
    """Return tr G and the largest eigenvalue of G from G written out; None where the strategy writes out no matrix.

    The trace comes from the structure of an MLP where that gives it.
    """
    if not strategy.dense_is_taken(evaluation.problem):
        return None
    G, known = dense_gauss_newton(evaluation), mlp_trace(evaluation, strategy)
    return G.trace(strategy.rtol) if known is None else known.whole, G.ends(strategy.rtol).largest


def _sampled(evaluation: Evaluation, strategy: Strategy) -> tuple[Estimate, Estimate]:
    """Return tr G from probes outside the space of a Lanczos run, and the largest eigenvalue of G from that run."""
    run, noise = _run(evaluation, strategy.rtol, _steps(evaluation, strategy)), _noise(evaluation)
    largest = ends_of(run, strategy.rtol, noise.norm).charged(noise.num_matvecs).largest
    return _trace(evaluation, strategy, run), largest


def _steps(evaluation: Evaluation, strategy: Strategy) -> int:
    """Return the number of steps that a Lanczos run on G may take, by the budget and the memory."""
    problem = evaluation.double
    capacity = strategy.budget.vectors(strategy.memory // 2, problem.num_params * problem.dtype.itemsize)
    return min(capacity, strategy.budget.ggn_steps)


def _run(evaluation: Evaluation, rtol: float, steps: int) -> Lanczos:
    """Return a Lanczos run on G, ended when its largest eigenvalue is certified to `rtol`, or after `steps`.

    It looks after 5, 10, 15, ... steps: the trace is sampled outside of its space, where each step saves probes.
    """
    process = started(evaluation.gauss_newton, evaluation.seed, steps, GGN_STREAM)
    return first_look(process, lambda run: ends_of(run, rtol).knows("largest"), process.capacity, EVERY)


def _trace(evaluation: Evaluation, strategy: Strategy, run: Lanczos) -> Estimate:
    """Return tr G: an exact sum, tr H where structure makes them equal, else Hutchinson's outside the run's space."""
    known = mlp_trace(evaluation, strategy)
    if known is not None:
        return known.whole
    summed = gauss_newton_trace(evaluation, strategy)
    if summed is not None:
        return summed
    terms, rows = DeflatedTerms(RitzSpace.of(run)), dict[Any, Any]()  # of this measure alone, and freed with it
    found = estimate_until(
        lambda m: evaluation.terms(m, terms, GaussNewtonOperator, double=True, cache=rows) + terms.known,
        {"trace": lambda rows: trace_estimate(rows, "deflated hutchinson")},
        {"trace": Tolerance(strategy.rtol)},
        strategy.budget.ggn_probes,
    )["trace"]
    noise = _noise(evaluation)
    return found.charged(run.num_matvecs + noise.num_matvecs).widened(noise.trace)


def _noise(evaluation: Evaluation) -> Perturbation:
    """Return bounds on what rounding adds to G: 0 unless the loss is user code, as the factors of G do not cancel."""
    return rounding_in_double(evaluation) if evaluation.problem.loss.foreign else Perturbation()


def _euler_bound(evaluation: Evaluation) -> Estimate:
    """Return the largest lower bound on the largest eigenvalue of G; not applicable without homogeneous activations."""
    mlp = homogeneous_mlp(evaluation.double)
    if mlp is None or evaluation.double.loss.factor is None:
        return Estimate.not_applicable("not an MLP of homogeneous activations, or a loss of no known factor")
    bounds = euler_bounds(evaluation.double, mlp)
    return Estimate.exact(float(bounds.max()), f"one of {len(bounds)} directions in which the outputs grow")


def residual_share(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """Return |R|_F / |H|_F where R = H - G; it is 0 where the data is fitted exactly. Not applicable where H is 0.

    It is exact where the structure of an MLP gives tr H^2, or where both matrices are written out. Elsewhere it is
    sampled by deflated Hutchinson on R in float64 until the half-width is `rtol`: the tolerance is absolute, as the
    share may be 0.
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
        if F.status is Status.BUDGET:  # for want of products alone, maybe
            return Estimate.enclosed(NAN, 0.0, math.inf, "tr H^2 may be 0", Status.BUDGET)
        return Estimate.not_applicable("tr H^2 may be 0")
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_share(evaluation, strategy, F)
    rows: dict[Any, Any] = {}
    terms, steps = _deflated_residual(evaluation, _residual_steps(evaluation, strategy))
    found = estimate_until(
        lambda m: evaluation.terms(m, terms, ResidualOperator, double=True, cache=rows) + terms.known,
        {"share": lambda rows: share_of(hutchinson.trace_square_estimate(rows), F)},
        {"share": Tolerance(strategy.rtol, 1.0)},
        strategy.budget.residual_probes,
    )["share"]
    found = replace(found, lower=max(found.lower - ROUNDING, 0.0), upper=found.upper + ROUNDING)
    return replace(found, num_matvecs=F.num_matvecs + ResidualOperator.cost * (steps + found.num_samples))


def _dense_share(evaluation: Evaluation, strategy: Strategy, F: Estimate) -> Estimate:
    """Return the share from H and G written out; exact unless rounding is visible in it."""
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


def _residual_steps(evaluation: Evaluation, strategy: Strategy) -> int:
    """Return the number of steps that a Lanczos run on R may take, by the budget and the memory."""
    problem = evaluation.double
    capacity = strategy.budget.vectors(strategy.memory // 2, problem.num_params * problem.dtype.itemsize)
    return min(capacity, strategy.budget.residual_steps)


def _deflated_residual(evaluation: Evaluation, steps: int) -> tuple[DeflatedTerms, int]:
    """Return the terms of R outside the space of a Lanczos run, and the number of products of the run.

    The run ends when the eigenvalue of R that is largest in size is certified to 1 %, or after `steps`.
    """
    process = started(evaluation.residual, evaluation.seed, steps, RESIDUAL_STREAM)
    run = first_look(process, dominant_is_known, process.capacity, EVERY)
    return DeflatedTerms(RitzSpace.of(run)), run.num_matvecs


def share_of(square: Estimate, whole: Estimate) -> Estimate:
    """Return sqrt(square / whole), with the interval that all values inside the intervals of both give.

    The standard error is that of `square` alone.

    Example:
        >>> print(share_of(Estimate.exact(1.0, "a"), Estimate.exact(4.0, "b")))
        0.5
    """
    value = math.sqrt(square.value / whole.value)
    lower, upper = math.sqrt(max(square.lower, 0.0) / whole.upper), math.sqrt(square.upper / whole.lower)
    stderr = square.stderr / (2 * whole.value * value) if value else NAN
    confidence = max(0.0, square.confidence + whole.confidence - 1)
    return replace(
        square, value=value, stderr=stderr, lower=lower, upper=upper, confidence=confidence,
        method="deflated hutchinson",
    )  # fmt: skip
