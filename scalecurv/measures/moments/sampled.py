"""tr H^2 from deflated Hutchinson terms, with intervals that are proven for few probes and Student's for many."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from scalecurv.linalg.hutchinson import controlled_square_estimate, squared_norm_estimate, trace_square_estimate
from scalecurv.linalg.krylov.extremes import DELTA, extreme_eigenvalues
from scalecurv.linalg.krylov.restarted_extremes import STREAM
from scalecurv.linalg.krylov.ritz import Remainder
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import METHOD, Deflation, deflation
from scalecurv.measures.noise import rounding
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance, following

EARLY_LOOKS = (4, 8, 16)  # numbers of probes at which the interval is proven
CERTIFICATES = 4 * DELTA  # chance that any of the four bounds on eigenvalues behind a proven interval fails
LOOSE = 1.5  # certified bound on a norm over a guess of it
Needed = Callable[[Estimate], float]  # the number of probes at which the caller is expected to be content


def sampled_square(evaluation: Evaluation, strategy: Strategy, trace: float | None, needed: Needed) -> Estimate:
    """Return tr H^2 from deflated terms once needed(estimate) is no more than its probes, else from the whole budget.

    At 4, 8 and 16 probes the interval is proven, from a bound on the norm of H outside the deflated space: first the
    bound that the run of the space gives, then one from a fresh start, unless 16 probes are not expected to suffice.
    From 32 probes on it is Student's, with `trace` as a control variate unless it is None, and the next look is at the
    number that is needed by then (Stein 1945). It ends at once where rounding alone is wider than `rtol`. Infinite
    numbers stand for a caller who gives up. The status is always `budget`, or `failed`.
    """
    deflated, check = deflation(evaluation, strategy), strategy.budget.check
    limit = strategy.square_products(evaluation.problem)
    early = sorted({min(m, limit) for m in EARLY_LOOKS} | ({limit} if limit < FIRST_LOOK else set()))
    proven = partial(_proven, evaluation, deflated, delta=(0.05 - CERTIFICATES) / len(early))
    norm, checked, outside = deflated.krylov.ends.norm, 0, deflated.depth.outside
    found = proven(early[0], norm, 0)
    if _ends(found, needed):
        return found
    if outside is None or limit < FIRST_LOOK or needed(proven(early[0], LOOSE * outside, 0)) <= early[-1]:
        fresh, checked = _fresh_bound(evaluation, deflated, check)
        for m in early:
            found = proven(m, min(norm, fresh), checked)
            if _ends(found, needed):
                return found
    if limit < FIRST_LOOK:
        return found
    m, noise, tolerance = FIRST_LOOK, rounding(evaluation), Tolerance(strategy.rtol)
    while True:
        found = _student(evaluation, deflated, m, trace, checked)
        if _ends(found, needed) or m == limit or tolerance.beyond(found, noise.of_square(found.value)):
            return found
        m = following(m, needed(found), limit)


def _ends(found: Estimate, needed: Needed) -> bool:
    return found.status is Status.FAILED or needed(found) <= found.num_samples


def _student(evaluation: Evaluation, deflated: Deflation, m: int, trace: float | None, checked: int) -> Estimate:
    """Return the estimate from m probes with Student's interval."""
    rows, noise = deflated.rows(evaluation, m)[:, :2], rounding(evaluation)
    if trace is None:
        found = trace_square_estimate(rows, METHOD)
    else:
        found = controlled_square_estimate(rows, trace, f"{METHOD}, trace as control")
    lower = max(found.lower, float(deflated.terms.known[1]))  # exact part; the rest is >= 0
    spent = deflated.num_matvecs + checked + m + noise.num_matvecs
    return replace(found, lower=lower, num_matvecs=spent).widened(noise.of_square(found.value))


def _proven(
    evaluation: Evaluation, deflated: Deflation, count: int, norm: float, checked: int, delta: float
) -> Estimate:
    """Return the estimate with a proven interval, for a bound on the norm of H outside the deflated space."""
    known, noise = float(deflated.terms.known[1]), rounding(evaluation)
    squares = deflated.rows(evaluation, count)[:, 1] - known
    spent = deflated.num_matvecs + checked + count + noise.num_matvecs
    found = squared_norm_estimate(squares, norm, 1 - delta, f"{METHOD}, proven interval", spent)
    found = found.affine(1.0, known)
    return replace(found, confidence=0.95).widened(noise.of_square(found.value))


@remembered
def _fresh_bound(evaluation: Evaluation, deflated: Deflation, steps: int) -> tuple[float, int]:
    """Return a bound on the norm of H outside the deflated space, from a Lanczos run of `steps`, and its products."""
    rest = Remainder(evaluation.hessian, deflated.krylov.space.basis)
    found = extreme_eigenvalues(rest, evaluation.seed, 0.0, steps, STREAM)
    return found.norm, found.factorization.num_matvecs
