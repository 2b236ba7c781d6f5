"""The Lanczos run of a problem.

The ends of the spectrum and the deflated subspace are read from the same run, each at the first step that suffices.
"""

from dataclasses import dataclass

from scalecurv.linalg.krylov.extremes import EVERY, End, Ends, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos, LanczosProcess
from scalecurv.linalg.krylov.restarted_extremes import restarted_extremes
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import rounding
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import forget, remembered
from scalecurv.statistics.estimate import Estimate

DOMINANT = 0.01  # a subspace is deflated once the eigenvalue of largest size is certified to this relative width


@dataclass(frozen=True, eq=False)
class Krylov:
    """Both ends of the spectrum of H, and the Ritz space that they were read from.

    `run` is the Lanczos run that built the space. It is None after a restart, and where H is written out, for which
    the space is R^P.
    """

    ends: Ends
    space: RitzSpace
    run: Lanczos | None


def krylov_run(evaluation: Evaluation, strategy: Strategy) -> Krylov:
    """Return both ends of the spectrum within the tolerance and memory of `strategy`; remembered."""
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_ends(evaluation, strategy.rtol)
    return _until_known(evaluation, strategy.rtol, strategy.budget.lanczos, vectors_of(evaluation, strategy))


def ritz_run(evaluation: Evaluation, strategy: Strategy) -> Krylov:
    """Return the run after the first 5, 10, 15, ... steps that certify both ends; remembered.

    Ritz vectors are read from it: those beside the ends converge later than the ends.
    """
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_ends(evaluation, strategy.rtol)
    steps, capacity = strategy.budget.lanczos, vectors_of(evaluation, strategy)
    return _until_known(evaluation, strategy.rtol, steps, capacity, every=EVERY)


def one_end(evaluation: Evaluation, strategy: Strategy, end: End) -> Estimate:
    """Return the largest or the smallest eigenvalue of H, and wait for no other.

    The run is that of `krylov_run`, read at the first step that certifies this end. Its interval may therefore be wider
    than that of `krylov_run`, which reads both at the first step that certifies both.
    """
    if strategy.dense_is_taken(evaluation.problem):
        return _dense_ends(evaluation, strategy.rtol).ends.at(end)
    steps, capacity = strategy.budget.lanczos, vectors_of(evaluation, strategy)
    return _until_known(evaluation, strategy.rtol, steps, capacity, end).ends.at(end)


def deflated_space(evaluation: Evaluation, strategy: Strategy) -> Krylov:
    """Return the space after the first 5, 10, 15, ... steps that certify the eigenvalue of largest size; remembered.

    It is certified to 1 %. A longer space leaves fewer probes to be drawn outside of it, so that looks after each step
    would save nothing. Where the memory holds fewer vectors than there may be steps, it is the space of both ends.
    """
    capacity, steps = vectors_of(evaluation, strategy), strategy.budget.lanczos
    return _dominant_space(evaluation, capacity, (strategy.rtol, steps) if capacity < steps else None)


def dominant_is_known(run: Lanczos) -> bool:
    """Return True where the eigenvalue of largest size is certified to 1 %."""
    ends = ends_of(run, DOMINANT)
    return max((ends.largest, ends.smallest), key=lambda end: abs(end.value)).within(DOMINANT)


@remembered
def _dense_ends(evaluation: Evaluation, rtol: float) -> Krylov:
    dense = dense_hessian(evaluation)
    return Krylov(dense.ends(rtol), dense.space, None)


@remembered
def _dominant_space(evaluation: Evaluation, capacity: int, restarts: tuple[float, int] | None) -> Krylov:
    """Return the deflated space; `restarts` is the tolerance and the number of steps where memory forces restarts."""
    if restarts is not None:  # the run of both ends, so that none of its products is taken again
        return _until_known(evaluation, *restarts, capacity)
    run = first_look(lanczos_process(evaluation, capacity), dominant_is_known, capacity, EVERY)
    return Krylov(run_ends(evaluation, run, DOMINANT), RitzSpace.of(run), run)


@remembered
def _until_known(
    evaluation: Evaluation, rtol: float, steps: int, capacity: int, end: End | None = None, every: int = 1
) -> Krylov:
    """Return the run at the first look, one after `every` steps, that certifies this end, or with None both."""
    process, noise = lanczos_process(evaluation, capacity), rounding(evaluation)

    def enough(run: Lanczos) -> bool:
        if ends_of(run, rtol, noise.norm).knows(end):
            return True
        bare = ends_of(run, rtol)  # as narrow as asked, but for rounding that no further step narrows
        return bare.knows(end) and noise.norm > rtol * bare.norm

    run = first_look(process, enough, capacity, every)
    ends, left = run_ends(evaluation, run, rtol), steps - len(run.alphas)
    if enough(run) or run.invariant or left < 4 or capacity >= steps:
        return Krylov(ends, RitzSpace.of(run), run)
    if every > 1:
        return _until_known(evaluation, rtol, steps, capacity, end)  # the same restarts, which are taken once
    whole, H = RitzSpace.of(run), evaluation.hessian
    space = whole.narrowed(whole.outermost(capacity // 2))
    del run, whole, process  # memory is short: the first basis is freed before another is built
    forget(lanczos_process, evaluation, capacity)
    found = restarted_extremes(H, space, evaluation.seed, rtol, capacity, left, noise.norm, end)
    return Krylov(found.ends.charged(noise.num_matvecs), found.space, None)


def run_ends(evaluation: Evaluation, run: Lanczos, rtol: float) -> Ends:
    """Return both ends of the spectrum of H; intervals allow for rounding, and costs include its check."""
    noise = rounding(evaluation)
    return ends_of(run, rtol, noise.norm).charged(noise.num_matvecs)


def vectors_of(evaluation: Evaluation, strategy: Strategy) -> int:
    """Return the number of vectors that a Krylov space of this strategy may hold."""
    problem = evaluation.problem
    return strategy.budget.vectors(strategy.memory, problem.num_params * problem.dtype.itemsize)


@remembered
def lanczos_process(evaluation: Evaluation, capacity: int) -> LanczosProcess:
    """Return the run with H from which all numbers are read; remembered, so that a longer one continues it."""
    return started(evaluation.hessian, evaluation.seed, capacity)
