"""tr H^2 from deflated Hutchinson terms, until whoever asks is content."""

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
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK, looks

EARLY_LOOKS = (4, 8, 16)  # at these the interval is proven
CERTIFICATES = 4 * DELTA  # of the four bounds on eigenvalues that a proven interval may rest on, noise included
Content = Callable[[Estimate], bool]


def sampled_square(evaluation: Evaluation, strategy: Strategy, trace: float | None, content: Content) -> Estimate:
    """tr H^2 from deflated terms, at the first look whose interval is narrow enough; status `budget` throughout.

    At 4, 8 and 16 probes the interval is proven, from a bound on the norm of what is left: first the bound that the
    space itself gives, then one from a fresh start. From 32 probes on it is Student's, with the `trace` as a control
    variate where it is known.
    """
    for found in _looks(evaluation, strategy, trace):
        if found.status is Status.FAILED or content(found):
            break
    return found


def _looks(evaluation: Evaluation, strategy: Strategy, trace: float | None) -> Iterator[Estimate]:
    taken, limit, noise = deflation(evaluation, strategy), strategy.budget.probes, rounding(evaluation)
    early = sorted({min(m, limit) for m in EARLY_LOOKS} | ({limit} if limit < FIRST_LOOK else set()))
    delta = (0.05 - CERTIFICATES) / len(early)
    yield _proven(evaluation, taken, early[0], taken.krylov.ends.norm, 0, delta)
    norm, checked = _fresh_bound(evaluation, strategy, taken)
    for m in early:
        yield _proven(evaluation, taken, m, min(norm, taken.krylov.ends.norm), checked, delta)
    for m in looks(limit):
        if m < FIRST_LOOK:
            return
        rows = taken.rows(evaluation, m)[:, :2]
        if trace is None:
            found = trace_square_estimate(rows, METHOD)
        else:
            found = controlled_square_estimate(rows, trace, f"{METHOD}, trace as control")
        lower = max(found.lower, float(taken.terms.known[1]))  # what was taken out is in it for certain
        spent = taken.num_matvecs + checked + m + noise.num_matvecs
        yield replace(found, lower=lower, num_matvecs=spent).widened(noise.of_square(found.value))


def _proven(evaluation: Evaluation, taken: Deflation, count: int, norm: float, checked: int, delta: float) -> Estimate:
    known, noise = float(taken.terms.known[1]), rounding(evaluation)
    squares = taken.rows(evaluation, count)[:, 1] - known
    spent = taken.num_matvecs + checked + count + noise.num_matvecs
    found = squared_norm_estimate(squares, norm, 1 - delta, f"{METHOD}, proven interval", spent)
    found = found.affine(1.0, known)
    return replace(found, confidence=0.95).widened(noise.of_square(found.value))


def _fresh_bound(evaluation: Evaluation, strategy: Strategy, taken: Deflation) -> tuple[float, int]:
    """A bound on the norm of what is left, from a Lanczos run of its own, and the products that it took."""

    def compute() -> tuple[float, int]:
        rest = Remainder(evaluation.hessian, taken.krylov.space.basis)
        found = extreme_eigenvalues(rest, evaluation.seed, 0.0, strategy.budget.check, STREAM)
        return found.norm, found.factorization.num_matvecs

    return evaluation.once(("fresh bound", taken.krylov.name, strategy.budget.check), compute)
