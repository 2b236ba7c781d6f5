"""The Lanczos run of a checkpoint: one process, from which ends and subspaces are read at the step they need."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

from scalecurv.linalg.krylov.extremes import Ends, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos, LanczosProcess
from scalecurv.linalg.krylov.restarted_extremes import restarted_extremes
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import rounding
from scalecurv.measures.route import Strategy

DOMINANT = 0.01  # a subspace is worth taking out once the eigenvalue of largest size is known so well


@dataclass(frozen=True)
class Krylov:
    """Both ends of H's spectrum with the space that they were read from; `run` is None after a restart.

    So it is where H was written out, and the space is all of R^P.

    `name` is what it is remembered under: whatever is computed from it is filed under that name too.
    """

    name: Hashable
    ends: Ends
    space: RitzSpace
    run: Lanczos | None


def krylov_run(evaluation: Evaluation, strategy: Strategy) -> Krylov:
    """Both ends to the tolerance of `strategy`, remembered; in as many vectors as its memory holds."""
    if strategy.dense_is_taken(evaluation.problem):
        dense = dense_hessian(evaluation)
        return Krylov("dense", dense.ends(strategy.rtol), dense.space, None)
    name = ("krylov", replace(strategy, route=None))
    return evaluation.once(name, lambda: _both_ends(evaluation, strategy, name))


def deflated_space(evaluation: Evaluation, strategy: Strategy) -> Krylov:
    """The space of the first steps that know the dominant eigenvalue to 1 %, whatever tolerance is asked for."""
    capacity = _vectors(evaluation, strategy)
    limited = capacity < strategy.budget.lanczos  # only then do tolerance and number of steps matter
    name = ("deflated", capacity, (strategy.rtol, strategy.budget.lanczos) if limited else None)

    def compute() -> Krylov:
        run = first_look(_process(evaluation, capacity), dominant_is_known, capacity)
        if limited and not dominant_is_known(run):
            return krylov_run(evaluation, strategy)
        return Krylov(name, _ends(evaluation, run, DOMINANT), RitzSpace.of(run), run)

    return evaluation.once(name, compute)


def dominant_is_known(run: Lanczos) -> bool:
    """Whether the eigenvalue of largest size is certified to 1 %."""
    ends = ends_of(run, DOMINANT)
    return max((ends.largest, ends.smallest), key=lambda end: abs(end.value)).within(DOMINANT)


def _both_ends(evaluation: Evaluation, strategy: Strategy, name: Hashable) -> Krylov:
    size = _vectors(evaluation, strategy)
    run = first_look(_process(evaluation, size), lambda run: _ends(evaluation, run, strategy.rtol).known, size)
    ends, left = _ends(evaluation, run, strategy.rtol), strategy.budget.lanczos - len(run.alphas)
    if ends.known or run.invariant or left < 4 or size >= strategy.budget.lanczos:
        return Krylov(name, ends, RitzSpace.of(run), run)
    noise = rounding(evaluation)
    found = restarted_extremes(
        evaluation.hessian, RitzSpace.of(run), evaluation.seed, strategy.rtol, size, left, noise.norm
    )
    return Krylov(name, found.ends.charged(noise.num_matvecs), found.space, None)


def _ends(evaluation: Evaluation, run: Lanczos, rtol: float) -> Ends:
    """Both ends of H itself: what the products' rounding adds to it is in the intervals, and paid for."""
    noise = rounding(evaluation)
    return ends_of(run, rtol, noise.norm).charged(noise.num_matvecs)


def _vectors(evaluation: Evaluation, strategy: Strategy) -> int:
    problem = evaluation.problem
    return strategy.budget.vectors(strategy.memory, problem.num_params * problem.dtype.itemsize)


def _process(evaluation: Evaluation, capacity: int) -> LanczosProcess:
    return evaluation.once(("lanczos", capacity), lambda: started(evaluation.hessian, evaluation.seed, capacity))
