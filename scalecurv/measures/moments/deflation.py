"""Deflation of H, and the estimates from deflated terms that several measures share.

The Lanczos run gives a subspace whose part of tr H and tr H^2 is exact; probes sample the rest. Every measure uses the
same probes. Floors of tolerances serve values that are small because larger numbers cancel.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.hutchinson import trace_estimate, trace_square_estimate
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import Krylov
from scalecurv.measures.moments.depth import Depth, deflated_depth
from scalecurv.measures.moments.known import known_trace
from scalecurv.measures.moments.passes import SHARE
from scalecurv.measures.noise import Perturbation, rounding
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance, estimate_until

METHOD = "deflated hutchinson"


@dataclass(frozen=True, eq=False)
class Deflation:
    """The deflated Krylov space, and the terms of tr H and tr H^2 outside it."""

    depth: Depth
    terms: DeflatedTerms

    @property
    def krylov(self) -> Krylov:
        """Return the run that built the space, with the ends of the spectrum."""
        return self.depth.krylov

    @property
    def num_matvecs(self) -> int:
        """Return the number of products that built the space, pilots included."""
        return self.krylov.space.num_matvecs + self.depth.pilots

    def rows(self, evaluation: Evaluation, count: int) -> np.ndarray:
        """Return the terms of tr H and tr H^2, then those of each layer, shape (count, 2 + 2 layers).

        The part of the deflated space is added to each term, so that the mean estimates the whole.
        """
        return evaluation.terms(count, self.terms) + self.terms.known


def deflation(evaluation: Evaluation, strategy: Strategy) -> Deflation:
    """Return the space that the Lanczos run of this strategy gives, and the terms outside it; remembered."""
    return _deflation(evaluation, deflated_depth(evaluation, strategy))


@remembered
def _deflation(evaluation: Evaluation, depth: Depth) -> Deflation:
    return Deflation(depth, DeflatedTerms(depth.krylov.space, tuple(evaluation.problem.space.layers.values())))


def sampled_trace(rows: np.ndarray, noise: Perturbation) -> Estimate:
    """Return tr H from the first column of deflated terms, with rounding in its interval."""
    return trace_estimate(rows, METHOD).widened(noise.trace)


def sampled_moment(rows: np.ndarray, noise: Perturbation) -> Estimate:
    """Return tr H^2 from the second column of deflated terms, with rounding in its interval."""
    found = trace_square_estimate(rows, METHOD)
    return found.widened(noise.of_square(found.value))


def trace_floor(deflated: Deflation) -> float:
    """Return a tenth of sum |lambda_i| by the quadrature of the Lanczos run.

    It is 0 where no Ritz value is negative, and where a restart left no quadrature.
    """
    run = deflated.krylov.run
    if run is None:
        return 0.0
    rule = run.quadrature
    return SHARE * run.basis.shape[0] * float(rule.weights @ np.abs(rule.nodes)) if rule.nodes[0] < 0 else 0.0


def difference_floor(trace_squared: float, trace_h2: float) -> float:
    """Return a tenth of the mean of T^2 and F, whose difference is the scalar curvature where g = 0.

    Example:
        >>> difference_floor(30.0, 10.0)
        2.0
    """
    return SHARE * (abs(trace_squared) + trace_h2) / 2


def settled(estimate: Estimate, tolerance: Tolerance) -> Estimate:
    """Return the estimate as `certified` where its interval is proven, as `converged` where it is sampled.

    An estimate whose interval is wider than the tolerance stays as it is.
    """
    proven = math.isnan(estimate.stderr)
    return tolerance.settle(estimate, Status.CERTIFIED if proven else Status.CONVERGED)


def trace_of(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """Return tr H by `known_trace` where it gives it, else from H written out, else from deflated terms.

    Sampling ends when the tolerance of `strategy` is met, or when its budget is spent.
    """
    known = known_trace(evaluation, strategy)
    if known is not None:
        return known.whole
    if strategy.dense_is_taken(evaluation.problem):
        return dense_hessian(evaluation).trace(strategy.rtol)
    deflated, noise = deflation(evaluation, strategy), rounding(evaluation)
    found = estimate_until(
        lambda m: deflated.rows(evaluation, m),
        {"trace": partial(sampled_trace, noise=noise)},
        {"trace": Tolerance(strategy.rtol, trace_floor(deflated))},
        strategy.budget.probes,
    )["trace"]
    return found.charged(deflated.num_matvecs + noise.num_matvecs)
