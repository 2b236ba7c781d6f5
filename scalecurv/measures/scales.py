"""How small a number may be before its tolerance is taken from what it is made of instead of from itself."""

import math

import numpy as np

from scalecurv.estimate import Estimate, Status
from scalecurv.linalg.sequential import Tolerance
from scalecurv.measures.deflation import Deflation

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
