"""The first two spectral moments of the Hessian, tr H and tr H^2, of the model and of each layer."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.moments.deflation import (
    METHOD,
    Deflation,
    deflation,
    sampled_moment,
    sampled_trace,
    settled,
    trace_floor,
)
from scalecurv.measures.moments.exact import exact_square, known_trace
from scalecurv.measures.moments.sampled import sampled_square
from scalecurv.measures.noise import Rounding, rounding
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate
from scalecurv.statistics.intervals import mean_estimate
from scalecurv.statistics.stopping import Tolerance, estimate_until


@dataclass(frozen=True)
class Moments(RoutedMeasure):
    """trace T = tr H and trace_h2 F = tr H^2: exact where structure or few parameters allow, else until inside `rtol`.

    Components are the layers: `trace` the trace of a layer's own block, `trace_h2` the squared norm of its rows of H,
    which sum to T and F; sampled ones come from the products that the whole took, with their own standard errors.
    """

    name: ClassVar[str] = "moments"
    version: ClassVar[int] = 4
    quantities: ClassVar[tuple[str, ...]] = ("trace", "trace_h2")

    def compute(self, evaluation: Evaluation) -> Findings:
        strategy = self.strategy
        trace = known_trace(evaluation, strategy)
        dense = strategy.dense_is_taken(evaluation.problem)
        if trace is None:
            return _dense(evaluation, strategy) if dense else _generic(evaluation, strategy)
        layers = {("trace", name): estimate for name, estimate in trace.layers.items()}
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
        F = sampled_square(evaluation, strategy, control, lambda found: found.halfwidth <= tolerance.at(found.value))
        taken = deflation(evaluation, strategy)
        layers |= _layers(evaluation, taken, F.num_samples, "trace_h2")
        return Findings({"trace": trace.whole, "trace_h2": settled(F, tolerance)}, parts=layers)


def _dense(evaluation: Evaluation, strategy: Strategy) -> Findings:
    """Both from H written out."""
    H = dense_hessian(evaluation)
    parts = {("trace", name): H.trace(strategy.rtol, rows) for name, rows in _rows(evaluation)}
    parts |= {("trace_h2", name): H.square(strategy.rtol, rows) for name, rows in _rows(evaluation)}
    return Findings({"trace": H.trace(strategy.rtol), "trace_h2": H.square(strategy.rtol)}, parts=parts)


def _rows(evaluation: Evaluation) -> Iterable[tuple[str, slice]]:
    """Each layer with its rows of H."""
    return evaluation.problem.space.layers.items()


def _generic(evaluation: Evaluation, strategy: Strategy) -> Findings:
    """Both from the same deflated terms, for any model."""
    taken, noise = deflation(evaluation, strategy), rounding(evaluation)
    found = estimate_until(
        lambda m: taken.rows(evaluation, m),
        {"trace": partial(sampled_trace, noise=noise), "trace_h2": partial(sampled_moment, noise=noise)},
        {"trace": Tolerance(strategy.rtol, trace_floor(taken)), "trace_h2": Tolerance(strategy.rtol)},
        strategy.budget.probes,
    )
    count = found["trace"].num_samples
    parts = _layers(evaluation, taken, count, "trace") | _layers(evaluation, taken, count, "trace_h2")
    return Findings({name: _charged(e, taken, noise) for name, e in found.items()}, parts=parts)


def _charged(estimate: Estimate, taken: Deflation, noise: Rounding) -> Estimate:
    return replace(estimate, num_matvecs=estimate.num_matvecs + taken.num_matvecs + noise.num_matvecs)


def _layers(evaluation: Evaluation, taken: Deflation, count: int, quantity: str) -> dict[tuple[str, str], Estimate]:
    rows: np.ndarray = taken.rows(evaluation, count)[:, 2:]
    names, noise = list(evaluation.problem.space.layers), rounding(evaluation)
    first = 0 if quantity == "trace" else len(names)
    parts = {}
    for i, name in enumerate(names):
        found = mean_estimate(rows[:, first + i], METHOD)
        slack = noise.trace if quantity == "trace" else noise.of_square(found.value)
        parts[quantity, name] = _charged(found.widened(slack), taken, noise)
    return parts
