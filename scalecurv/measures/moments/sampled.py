"""tr H^2 from deflated Hutchinson terms, with intervals that are proven for few probes and Student's for many."""

from collections.abc import Callable, Iterator
from dataclasses import replace

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
from scalecurv.statistics.stopping import FIRST_LOOK, looks

EARLY_LOOKS = (4, 8, 16)  # numbers of probes at which the interval is proven
CERTIFICATES = 4 * DELTA  # chance that any of the four bounds on eigenvalues behind a proven interval fails
Content = Callable[[Estimate], bool]


def sampled_square(evaluation: Evaluation, strategy: Strategy, trace: float | None, content: Content) -> Estimate:
    """Return tr H^2 from deflated terms at the first number of probes where content(estimate) is True, else the last.

    At 4, 8 and 16 probes the interval is proven, from a bound on the norm of H outside the deflated space: first the
    bound that the run of the space gives, then one from a fresh start. From 32 probes on it is Student's, with `trace`
    as a control variate unless it is None. The status is always `budget`, or `failed`.
    """
    for found in _looks(evaluation, strategy, trace):
        if found.status is Status.FAILED or content(found):
            break
    return found


def _looks(evaluation: Evaluation, strategy: Strategy, trace: float | None) -> Iterator[Estimate]:
    """Yield the estimates at 4, 8, 16, 32, ... probes, the last of which spends the budget."""
    deflated, limit, noise = deflation(evaluation, strategy), strategy.budget.probes, rounding(evaluation)
    early = sorted({min(m, limit) for m in EARLY_LOOKS} | ({limit} if limit < FIRST_LOOK else set()))
    delta = (0.05 - CERTIFICATES) / len(early)
    yield _proven(evaluation, deflated, early[0], deflated.krylov.ends.norm, 0, delta)
    norm, checked = _fresh_bound(evaluation, deflated, strategy.budget.check)
    for m in early:
        yield _proven(evaluation, deflated, m, min(norm, deflated.krylov.ends.norm), checked, delta)
    for m in looks(limit):
        if m < FIRST_LOOK:
            return
        rows = deflated.rows(evaluation, m)[:, :2]
        if trace is None:
            found = trace_square_estimate(rows, METHOD)
        else:
            found = controlled_square_estimate(rows, trace, f"{METHOD}, trace as control")
        lower = max(found.lower, float(deflated.terms.known[1]))  # exact part; the rest is >= 0
        spent = deflated.num_matvecs + checked + m + noise.num_matvecs
        yield replace(found, lower=lower, num_matvecs=spent).widened(noise.of_square(found.value))


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
