"""Sharpness at a distance: the rise of the loss within a radius, and its mean curvature over random steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from scalecurv.errors import Misuse
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.hutchinson import controlled_square_estimate
from scalecurv.linalg.inner import dots
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.measures.ascent import ascents, loss_rounding
from scalecurv.measures.cost import MeasureCost
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.moments.deflation import trace_of
from scalecurv.measures.noise import allowing, rounding_in_double
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import check_number
from scalecurv.problem.risk import losses_at
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance, estimate_until

STREAM = "sharpness steps"
RADIUS = 0.05  # of SAM's step, as in Foret et al. 2021
SIGMA = 1e-3
METHOD = "antithetic steps with z'Hz as a control"


@dataclass(frozen=True)
class Sharpness(RoutedMeasure):
    """The rise of the loss within a radius rho of theta, and its mean curvature over steps of size sigma.

    sharpness_radius: a lower bound on max over |d| <= rho of L(theta + d) - L, the best of several steps at which L is
        evaluated. There is no upper bound.
    sharpness_sam: L(theta + rho g/|g|) - L, the step of SAM. (Foret, Kleiner, Mobahi and Neyshabur 2021, arXiv
        2010.01412)
    sharpness_mean: T_sigma = E [L(theta + sigma z) + L(theta - sigma z) - 2 L] / sigma^2 with Gaussian z (P,). It is
        tr H for a smooth loss and small sigma, and differs from tr H by the kinks that a step of length sigma sqrt(P)
        crosses.

    The first two have the unit of the loss, the third that of H. `radius` is rho and `sigma` the size of a coordinate
    of a step, both in units of theta. The loss is evaluated in float64 on all data; products are in float64 too, at
    most `max_matvecs` beside those of tr H.

    Raises Misuse where radius or sigma is not positive and finite.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # at the minimum, where L(d) = d'Hd/2
        >>> found = Sharpness(radius=2.0).compute(sc.Evaluation(problem)).estimates
        >>> print(found["sharpness_radius"], found["sharpness_sam"], round(found["sharpness_mean"].value, 6))
        >= 6 not applicable 4.0
    """

    radius: float = RADIUS
    sigma: float = SIGMA

    name: ClassVar[str] = "sharpness"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("sharpness_radius", "sharpness_sam", "sharpness_mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("radius", "sigma"):
            value = getattr(self, name)
            check_number(name, value)
            if not 0 < value < math.inf:
                raise Misuse(f"{name} is {value}; it must be positive and finite, in units of the parameters")

    def cost(self, problem: Problem) -> MeasureCost:
        """Return the cost: that of tr H, whose products other measures share, and at most `max_matvecs` more."""
        return replace(super().cost(problem), own=self.max_matvecs // 4 + self._probes, own_probes=self._probes)

    @property
    def _probes(self) -> int:
        return max(2, self.max_matvecs // 2)

    def compute(self, evaluation: Evaluation) -> Findings:
        found = ascents(evaluation, self.radius, self.max_matvecs // 4, self.memory)
        return Findings({**found, "sharpness_mean": self._mean(evaluation)})

    def _mean(self, evaluation: Evaluation) -> Estimate:
        """Return T_sigma from terms 2 Delta/sigma^2, z'Hz being the control whose mean is tr H."""
        strategy, off = self.strategy, rounding_in_double(evaluation)
        trace = trace_of(evaluation, strategy)
        if trace.status is not Status.EXACT:  # the intervals of both parts together are to meet the tolerance
            trace = trace_of(evaluation, replace(strategy, rtol=self.rtol / 2))
        if trace.status is Status.FAILED:
            return replace(trace, method="tr H failed")
        loss, error = loss_rounding(evaluation)
        terms, rows = AntitheticTerms(self.sigma, loss), dict[Any, Any]()
        slack, tolerance = 4 * error / self.sigma**2, Tolerance(self.rtol, abs(trace.value) / 2)
        hopeless = tolerance.beyond(trace, trace.halfwidth + slack)

        def estimate(taken: np.ndarray) -> Estimate:
            found = controlled_square_estimate(taken, trace.value, METHOD)
            return allowing(_with_trace(found, taken, trace), slack + off.trace, off)

        found = estimate_until(
            lambda m: evaluation.terms(m, terms, HessianOperator, double=True, cache=rows),
            {"mean": estimate},
            {"mean": tolerance},
            min(self._probes, FIRST_LOOK) if hopeless else self._probes,
        )["mean"]
        return found.charged(trace.num_matvecs + off.num_matvecs)


@dataclass(frozen=True)
class AntitheticTerms:
    """The terms of T_sigma: a row (z'Hz, 2 Delta / sigma^2) for each probe, `loss` being L(theta).

    2 Delta = L(theta + sigma z) + L(theta - sigma z) - 2 L(theta). One product and two evaluations a probe.
    """

    sigma: float
    loss: float

    def __call__(self, operator: LinearOperator, seed: int, ids: Sequence[int]) -> np.ndarray:
        """Return one row for each probe id, shape (len(ids), 2)."""
        assert isinstance(operator, CountingOperator)
        assert isinstance(operator.operator, HessianOperator)
        problem = operator.operator.problem
        Z = probes(problem.num_params, seed, STREAM, ids, "gaussian", problem.dtype, problem.device)
        along, second = dots(Z, operator.matmat(Z)), torch.empty(len(ids), dtype=torch.float64)
        for j in range(len(ids)):
            step = self.sigma * Z[:, j]
            second[j] = losses_at(problem, (problem.theta + step, problem.theta - step)).sum() - 2 * self.loss
        return np.stack([along.cpu().numpy(), second.numpy() / self.sigma**2], axis=1)


def _with_trace(found: Estimate, rows: np.ndarray, trace: Estimate) -> Estimate:
    """Return the estimate with the sampling error of tr H, the mean of the control, in its interval."""
    if not trace.halfwidth or found.status is Status.FAILED:
        return found
    x, w = rows.T - rows.mean(0)[:, None]
    share = abs(float(x @ w) / (float(x @ x) or 1.0)) * trace.halfwidth
    independent = not math.isnan(trace.stderr)
    wider = math.hypot(found.halfwidth, share) - found.halfwidth if independent else share
    return replace(found.widened(wider), confidence=min(found.confidence, trace.confidence))
