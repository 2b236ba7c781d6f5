"""A bracket of K from the Lanczos run of the ends alone, where H is positive semidefinite but for a small part."""

import math

from scalecurv.geometry.bounds import Interval, affine_bracket, deflated_square
from scalecurv.geometry.ratios import interval_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import Krylov
from scalecurv.measures.noise import Perturbation, rounding
from scalecurv.statistics.estimate import Estimate

ULPS = 64 * 2.0**-52  # of T^2: rounding of a run in float64, beyond which `rounding` knows more


def deflated_bracket(evaluation: Evaluation, trace: Estimate, krylov: Krylov, near: Perturbation) -> Interval:
    """Return bounds on K from T and the Ritz space of the run, for H = G + R with G positive semidefinite.

    Within the space tr H and tr H^2 are known; outside, the trace t bounds |RHR|_F^2 by t^2 / (P - k) and
    lambda_max t. `near` bounds R. The rounding of the products that built the space is added to it, and both shift F by
    at most 2 |H|_F |R|_F + |R|_F^2.
    """
    facts, noise, space = gradient_facts(evaluation, double=True), rounding(evaluation), krylov.space
    T, off, k = interval_of(trace), near.norm + noise.norm, len(space.values)
    inside = float(space.values.sum())
    slack = near.trace + math.sqrt(k) * off  # of tr RGR, for the trace of R inside the space
    known = float((space.projected**2).sum() + 2 * (space.coupling**2).sum())
    largest = krylov.ends.largest.upper + near.norm
    low, high = deflated_square((T[0] - slack, T[1] + slack), inside, known, space.basis.shape[0] - k, largest)
    shift = Perturbation(off).of_square(high) + ULPS * max(map(abs, T)) ** 2
    return affine_bracket(T, (low - shift, high + shift), facts.beta, facts.ghg, facts.gh2g)
