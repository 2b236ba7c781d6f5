"""What the Lanczos run lets be taken out of H, and the terms of what is left: one set of probes for every measure."""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.hutchinson import trace_estimate, trace_square_estimate
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import Krylov, deflated_space
from scalecurv.measures.moments.exact import known_trace
from scalecurv.measures.noise import Rounding, rounding
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance, estimate_until

METHOD = "deflated hutchinson"


@dataclass(frozen=True)
class Deflation:
    """The Krylov space that is taken out, and the terms of what is left."""

    krylov: Krylov
    terms: DeflatedTerms

    @property
    def num_matvecs(self) -> int:
        return self.krylov.space.num_matvecs

    def rows(self, evaluation: Evaluation, count: int) -> np.ndarray:
        """Terms of tr H and tr H^2 themselves, then by layer: what was taken out is added to each."""
        return evaluation.terms(count, self.terms, ("deflated terms", self.krylov.name)) + self.terms.known


def deflation(evaluation: Evaluation, strategy: Strategy) -> Deflation:
    """What the Lanczos run of this strategy lets be taken out, remembered."""
    krylov = deflated_space(evaluation, strategy)
    terms = DeflatedTerms(krylov.space, tuple(evaluation.problem.space.layers.values()))
    return evaluation.once(("deflation", krylov.name), lambda: Deflation(krylov, terms))


def sampled_trace(rows: np.ndarray, noise: Rounding) -> Estimate:
    """tr H from the first column of deflated terms, what rounding may add to it included."""
    return trace_estimate(rows, METHOD).widened(noise.trace)


def sampled_moment(rows: np.ndarray, noise: Rounding) -> Estimate:
    """tr H^2 from the second column of deflated terms, likewise."""
    found = trace_square_estimate(rows, METHOD)
    return found.widened(noise.of_square(found.value))


SHARE = 0.1  # of what cancels: a number below this share of it is asked for to rtol of the share


def trace_floor(taken: Deflation) -> float:
    """A tenth of sum |lambda_i|, as the Lanczos run's quadrature sees it: 0 where no eigenvalue is negative."""
    run = taken.krylov.run
    if run is None:
        return 0.0
    rule = run.quadrature
    return SHARE * run.basis.shape[0] * float(rule.weights @ np.abs(rule.nodes)) if rule.nodes[0] < 0 else 0.0


def difference_floor(trace_squared: float, trace_h2: float) -> float:
    """A tenth of the mean of T^2 and F, whose difference is the scalar curvature at a critical point."""
    return SHARE * (abs(trace_squared) + trace_h2) / 2


def settled(estimate: Estimate, tolerance: Tolerance) -> Estimate:
    """`certified` where the interval is proven, `converged` where it was sampled; unchanged where it is too wide."""
    proven = math.isnan(estimate.stderr)
    return tolerance.settle(estimate, Status.CERTIFIED if proven else Status.CONVERGED)


def trace_of(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """T by structure, else from H written out where that is taken, else from deflated terms.

    Of these as many as the tolerance of `strategy` takes, until all is spent.
    """
    known = known_trace(evaluation, strategy)
    if known is not None:
        return known.whole
    if strategy.dense_is_taken(evaluation.problem):
        return dense_hessian(evaluation).trace(strategy.rtol)
    taken, noise = deflation(evaluation, strategy), rounding(evaluation)
    found = estimate_until(
        lambda m: taken.rows(evaluation, m),
        {"trace": partial(sampled_trace, noise=noise)},
        {"trace": Tolerance(strategy.rtol, trace_floor(taken))},
        strategy.budget.probes,
    )["trace"]
    return replace(found, num_matvecs=found.num_matvecs + taken.num_matvecs + noise.num_matvecs)
