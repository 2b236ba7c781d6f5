"""The Lanczos run of a problem.

The ends of the spectrum and the deflated subspace are read from the same run, each at the first step that suffices.
"""

from dataclasses import dataclass

from scalecurv.linalg.krylov.extremes import Ends, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos, LanczosProcess
from scalecurv.linalg.krylov.restarted_extremes import restarted_extremes
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import rounding
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered

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
    return _both_ends(evaluation, strategy.rtol, strategy.budget.lanczos, _vectors(evaluation, strategy))


def deflated_space(evaluation: Evaluation, strategy: Strategy) -> Krylov:
    """Return the space at the first step that certifies the eigenvalue of largest size to 1 %; remembered.

    It depends on tolerance and number of steps only where the memory holds fewer vectors than there may be steps.
    """
    capacity, steps = _vectors(evaluation, strategy), strategy.budget.lanczos
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
    run = first_look(_process(evaluation, capacity), dominant_is_known, capacity)
    if restarts is not None and not dominant_is_known(run):
        return _both_ends(evaluation, *restarts, capacity)
    return Krylov(_ends(evaluation, run, DOMINANT), RitzSpace.of(run), run)


@remembered
def _both_ends(evaluation: Evaluation, rtol: float, steps: int, capacity: int) -> Krylov:
    run = first_look(_process(evaluation, capacity), lambda run: _ends(evaluation, run, rtol).known, capacity)
    ends, left = _ends(evaluation, run, rtol), steps - len(run.alphas)
    if ends.known or run.invariant or left < 4 or capacity >= steps:
        return Krylov(ends, RitzSpace.of(run), run)
    noise = rounding(evaluation)
    found = restarted_extremes(evaluation.hessian, RitzSpace.of(run), evaluation.seed, rtol, capacity, left, noise.norm)
    return Krylov(found.ends.charged(noise.num_matvecs), found.space, None)


def _ends(evaluation: Evaluation, run: Lanczos, rtol: float) -> Ends:
    """Return both ends of the spectrum of H; intervals allow for rounding, and costs include its check."""
    noise = rounding(evaluation)
    return ends_of(run, rtol, noise.norm).charged(noise.num_matvecs)


def _vectors(evaluation: Evaluation, strategy: Strategy) -> int:
    problem = evaluation.problem
    return strategy.budget.vectors(strategy.memory, problem.num_params * problem.dtype.itemsize)


@remembered
def _process(evaluation: Evaluation, capacity: int) -> LanczosProcess:
    return started(evaluation.hessian, evaluation.seed, capacity)
