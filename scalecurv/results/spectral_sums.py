"""Sums over all eigenvalues from stored Gauss rules: the effective dimension and the log-determinant."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.geometry.quadrature import bracket_of_form, log_reach, smallest_bound
from scalecurv.quantities import RTOL
from scalecurv.results.density import SpectralRule
from scalecurv.results.student import student_quantile
from scalecurv.statistics.estimate import NAN, Estimate, Status

CONFIDENCE = 0.95
HIDDEN = 1e-3  # chance that the starts hide an eigenvalue below the bound on the smallest one
Interval = tuple[float, float]


def effective_dimension(
    rule: SpectralRule, alpha: float, num_params: int, *, smallest: float | None = None, chance: float = 0.0
) -> Estimate:
    """Return sum_i lambda_i / (lambda_i + alpha) over the eigenvalues of H: the directions that the data determines.

    alpha > 0 has the units of H. With a prior of precision p and a loss that is a mean over N samples, alpha is p / N.
    (MacKay 1992; the effective number of parameters, gamma)

    Each start's quadratic form lies between a Gauss-Radau and a Gauss rule (Golub and Meurant 1994). The interval at
    95 % is the mean of both bounds over the starts, widened by Student's quantile, so that it holds the sampling error
    and the truncation error together; with one start it is the bounds that hold for every spectrum in range. Where the
    rule is exact, the sum is exact. The run's own rounding is not part of the interval.

    `num_params` is the order of H. `smallest` is a lower bound on its eigenvalues, which is wrong with probability
    `chance`; without it, it follows from the rule. Raises Misuse where alpha is not positive, or does not exceed minus
    the bound, so that lambda + alpha may be zero.

    Example:
        >>> import scalecurv as sc
        >>> rule = sc.spectrum(sc.Problem.quadratic(1.0, 3.0))
        >>> round(sc.effective_dimension(rule, alpha=1.0, num_params=2).value, 12)  # 1/2 + 3/4
        1.25
    """
    return _spectral_sum(rule, lambda t: t / (t + alpha), alpha, num_params, smallest, chance)


def log_determinant(
    rule: SpectralRule, alpha: float, num_params: int, *, smallest: float | None = None, chance: float = 0.0
) -> Estimate:
    """Return log det(I + H / alpha) = sum_i log(1 + lambda_i / alpha), the Occam factor of Laplace's approximation.

    It is a pure number; log det(H + alpha I) exceeds it by num_params log(alpha). (MacKay 1992)

    The interval, `num_params`, `smallest`, `chance` and the errors are those of `effective_dimension`.

    Example:
        >>> import scalecurv as sc
        >>> rule = sc.spectrum(sc.Problem.quadratic(1.0, 3.0))
        >>> round(sc.log_determinant(rule, alpha=1.0, num_params=2).value, 9)  # log 2 + log 4
        2.079441542
    """
    return _spectral_sum(rule, lambda t: np.log1p(t / alpha), alpha, num_params, smallest, chance)


def _spectral_sum(
    rule: SpectralRule,
    f: Callable[[np.ndarray], np.ndarray],
    alpha: float,
    num_params: int,
    smallest: float | None,
    chance: float,
) -> Estimate:
    """Return sum_i f(lambda_i) for an f whose derivatives alternate in sign on (-alpha, inf)."""
    if not 0 < alpha < math.inf:
        raise Misuse(f"alpha is {alpha}; give a positive number in the units of H")
    low, chance = _lower_end(rule, num_params, smallest, chance)
    if low <= -alpha:
        bound = "an eigenvalue is" if rule.exact else "an eigenvalue may be as small as"
        raise Misuse(
            f"alpha is {alpha:g} and {bound} {low:g}; give alpha above {-low:g}, so that H + alpha I is positive"
        )
    if rule.exact:
        return Estimate.exact(float(f(rule.nodes).sum()), "all eigenvalues", len(rule.nodes))
    starts = rule.by_start()
    bounds = num_params * np.array([bracket_of_form(nodes, weights, f, low) for nodes, weights in starts])
    first, second = (float(np.mean([w @ f(t) ** power / w.sum() for t, w in starts])) for power in (1, 2))
    spread = num_params * math.sqrt(2 * max(second - first**2, 0.0) / (num_params + 2))
    return _joint(bounds, spread, num_params * float(f(np.array([low]))[0]), len(rule.nodes), chance)


def _joint(bounds: np.ndarray, spread: float, least: float, num_matvecs: int, chance: float) -> Estimate:
    """Return the mean of samples that lie between the `bounds` (m, 2), at 95 % in all.

    Their standard deviation is at most that of the midpoints plus the root of sum h_i^2 / (m - 1), h_i half the length
    of a bracket. Four starts may agree by chance where a few eigenvalues carry the sum: the interval is no shorter than
    the normal one of `spread`, the standard deviation of a start uniform on the sphere. No sum is below `least`.
    """
    (m, _), middle, half = bounds.shape, bounds.mean(axis=1), (bounds[:, 1] - bounds[:, 0]) / 2
    value, stderr, reach = float(middle.mean()), NAN, math.inf
    if m > 1:
        stderr = (float(middle.std(ddof=1)) + math.sqrt(float((half**2).sum()) / (m - 1))) / math.sqrt(m)
        level = CONFIDENCE + chance
        normal = NormalDist().inv_cdf((1 + level) / 2) * spread / math.sqrt(m)
        reach = max(student_quantile(level, m - 1) * stderr, normal) + float(half.mean())
    method = f"{m} Gauss rules, truncation between Gauss and Gauss-Radau"
    lower, upper = max(value - reach, least), value + reach
    found = Estimate(value, stderr, lower, upper, CONFIDENCE, m, num_matvecs, method, Status.BUDGET)
    return found.with_status(Status.CONVERGED) if found.within(RTOL) else found


def _lower_end(rule: SpectralRule, n: int, given: float | None, chance: float) -> tuple[float, float]:
    """Return a lower bound on all eigenvalues, the larger of the given one and the rule's own, and its chance to fail.

    The rule's own is the smallest of its starts' bounds: it fails only where all starts do, which are independent.
    """
    if rule.exact:
        return float(rule.nodes.min()), 0.0
    starts = rule.by_start()
    reach = log_reach(n, HIDDEN ** (1 / len(starts)))
    own = min(smallest_bound(nodes, weights, reach) for nodes, weights in starts)
    if given is None:
        if own == -math.inf:
            raise Misuse("rules of one node bound no eigenvalue; analyze with more --max-matvecs, or give smallest=")
        return own, HIDDEN
    if not given <= (first := float(rule.nodes.min())) + ROUNDING * max(abs(given), float(np.abs(rule.nodes).max())):
        raise Misuse(f"smallest is {given:g} and a node is {first:g}; give a lower bound on all eigenvalues")
    return min(max(given, own), first), chance + HIDDEN


ROUNDING = 1e-3  # of the nodes' size: nodes may lie below a given bound by the rounding of their run
