"""The measure of the first two spectral moments of the Hessian, tr H and tr H^2, of the model and of each layer."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from scalecurv.measures.cost import MeasureCost
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, SampledMeasure
from scalecurv.measures.moments.deflation import (
    METHOD,
    Deflation,
    deflation,
    sampled_moment,
    sampled_trace,
    settled,
    trace_floor,
)
from scalecurv.measures.moments.exact import exact_square
from scalecurv.measures.moments.known import known_trace
from scalecurv.measures.moments.square import square_with_layers
from scalecurv.measures.noise import Perturbation, rounding
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate
from scalecurv.statistics.intervals import mean_estimate
from scalecurv.statistics.stopping import Tolerance, estimate_until


@dataclass(frozen=True)
class Moments(SampledMeasure):
    """The first two spectral moments of the Hessian H.

    trace: T = tr H, in units of H. Of each layer too: the trace of its diagonal block of H, which sum to T.
    trace_h2: F = tr H^2 = |H|_F^2, in units of H^2. Of each layer too: the squared norm of its rows of H, which sum
        to F.

    They are exact where the structure of an MLP gives them or H is written out (see `Strategy`). The trace is exact too
    where the outputs are affine in every tensor; over other tensors fresh probes sample it, one for each block of the
    data (see `trace_by_passes`). Hutchinson's estimator samples F outside a Krylov space. Each is sampled until it is
    inside `rtol`, or until the budget is spent. The layers come from the products that the whole model took, with
    standard errors of their own. Single tensors with an exact trace have it beside their layer.
    """

    name: ClassVar[str] = "moments"
    version: ClassVar[int] = 7
    quantities: ClassVar[tuple[str, ...]] = ("trace", "trace_h2")

    def cost(self, problem: Problem) -> MeasureCost:
        cost = super().cost(problem)
        return MeasureCost(bytes=cost.bytes) if cost.written_out and self.is_sum(problem) else cost

    def compute(self, evaluation: Evaluation) -> Findings:
        strategy = self.strategy
        trace = known_trace(evaluation, strategy)
        dense = strategy.dense_is_taken(evaluation.problem)
        if trace is None:
            return _dense(evaluation, strategy) if dense else _generic(evaluation, strategy)
        layers = {("trace", name): estimate for name, estimate in (trace.layers | trace.tensors).items()}
        squares = exact_square(evaluation, strategy)
        if squares is not None:
            layers |= {("trace_h2", name): estimate for name, estimate in squares.items() if name}
            return Findings({"trace": trace.whole, "trace_h2": squares[""]}, parts=layers)
        if dense:
            H = dense_hessian(evaluation)
            layers |= {("trace_h2", name): H.square(self.rtol, rows) for name, rows in _rows(evaluation)}
            return Findings({"trace": trace.whole, "trace_h2": H.square(self.rtol)}, parts=layers)
        tolerance = Tolerance(self.rtol)
        control = trace.whole.value if trace.exact else None
        F = square_with_layers(evaluation, strategy, control, tolerance.terms_needed)
        if F.layers is None:
            layers |= _layers(evaluation, deflation(evaluation, strategy), F.whole.num_samples, "trace_h2")
        else:
            layers |= {("trace_h2", name): estimate for name, estimate in F.layers.items()}
        return Findings({"trace": trace.whole, "trace_h2": settled(F.whole, tolerance)}, parts=layers)


def _dense(evaluation: Evaluation, strategy: Strategy) -> Findings:
    """Return both moments from H written out."""
    H = dense_hessian(evaluation)
    parts = {("trace", name): H.trace(strategy.rtol, rows) for name, rows in _rows(evaluation)}
    parts |= {("trace_h2", name): H.square(strategy.rtol, rows) for name, rows in _rows(evaluation)}
    return Findings({"trace": H.trace(strategy.rtol), "trace_h2": H.square(strategy.rtol)}, parts=parts)


def _rows(evaluation: Evaluation) -> Iterable[tuple[str, slice]]:
    """Return the name of each layer with the rows of H that belong to it."""
    return evaluation.problem.space.layers.items()


def _generic(evaluation: Evaluation, strategy: Strategy) -> Findings:
    """Return both moments from the same deflated terms, for any model."""
    deflated, noise = deflation(evaluation, strategy), rounding(evaluation)
    found = estimate_until(
        lambda m: deflated.rows(evaluation, m),
        {"trace": partial(sampled_trace, noise=noise), "trace_h2": partial(sampled_moment, noise=noise)},
        {"trace": Tolerance(strategy.rtol, trace_floor(deflated)), "trace_h2": Tolerance(strategy.rtol)},
        strategy.budget.probes,
    )
    count = found["trace"].num_samples
    parts = _layers(evaluation, deflated, count, "trace") | _layers(evaluation, deflated, count, "trace_h2")
    return Findings({name: _charged(e, deflated, noise) for name, e in found.items()}, parts=parts)


def _charged(estimate: Estimate, deflated: Deflation, noise: Perturbation) -> Estimate:
    """Return the estimate with the products of the deflation and of the spot check in its cost."""
    return estimate.charged(deflated.num_matvecs + noise.num_matvecs)


def _layers(evaluation: Evaluation, deflated: Deflation, count: int, quantity: str) -> dict[tuple[str, str], Estimate]:
    """Return one moment of every layer, from the first `count` deflated terms."""
    rows: np.ndarray = deflated.rows(evaluation, count)[:, 2:]
    names, noise = list(evaluation.problem.space.layers), rounding(evaluation)
    first = 0 if quantity == "trace" else len(names)
    parts = {}
    for i, name in enumerate(names):
        found = mean_estimate(rows[:, first + i], METHOD)
        slack = noise.trace if quantity == "trace" else noise.of_square(found.value)
        parts[quantity, name] = _charged(found.widened(slack), deflated, noise)
    return parts
