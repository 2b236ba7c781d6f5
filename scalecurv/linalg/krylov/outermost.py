"""The two largest and the two smallest eigenvalues of an operator, each with a two-sided certificate."""

from dataclasses import dataclass

import numpy as np

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.krylov.extremes import EVERY, NEAR_ZERO, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.krylov.outermost_check import COUNT, FirstRun, Outermost, checked
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator

STREAM = "outer start"
CHECKS = 4


@dataclass(frozen=True)
class Effort:
    """The limits of a computation: steps of the first run, steps of all checks together, vectors of the first run."""

    steps: int
    check: int
    vectors: int


def outermost_eigenvalues(operator: Operand, seed: int, rtol: float, effort: Effort, noise: float = 0.0) -> Outermost:
    """Return the outermost eigenvalues by two Lanczos runs; the second bounds what the first one missed.

    A single run sees at most one copy of an eigenvalue and gives no bound on the second eigenvalue, so that a check by
    a second run is needed. Where the check does not close every interval, the first run grows by half of its length and
    is checked again. There are at most CHECKS checks, each with its chance to fail; the last takes all steps that are
    left. The tolerance is rtol |value|, or rtol |A| / 10 for a value closer to zero. `noise` bounds the norm of what
    the arithmetic adds to A.
    """
    operator = aslinearoperator(operator)
    process = started(operator, seed, min(effort.vectors, effort.steps), STREAM)
    run = first_look(process, lambda run: _settled(RitzSpace.of(run), rtol), process.capacity, EVERY)
    steps, spent, checks = run.num_matvecs, 0, 0
    while True:
        last = process.finished and steps == process.steps
        afforded = effort.check - spent if last else (effort.check - spent) // 2  # half is left for the last check
        if afforded or last:
            checks += 1
            run = process.first(steps)
            space = _within(operator, run, rtol, effort)
            first = FirstRun(operator, space, ends_of(run, rtol), rtol, noise, CHECKS)
            found = checked(first, seed, afforded, patient=last)
            if found.known or last:
                return found.charged(spent)  # checks that did not close the intervals are part of the cost
            spent += found.num_matvecs - space.num_matvecs
        further = steps + max(EVERY, steps // 2) if checks < CHECKS - 1 else process.capacity
        process.advance(min(further, process.capacity))
        steps = process.steps


def _within(operator: LinearOperator, run: Lanczos, rtol: float, effort: Effort) -> RitzSpace:
    """Return the space of a run, restarted where memory was too short for all of its steps."""
    space, left = RitzSpace.of(run), effort.steps - run.num_matvecs
    full = run.num_matvecs == effort.vectors and not run.invariant
    if not full or left < 2 or effort.vectors < 4 or _settled(space, rtol):
        return space
    space = thick_restart(operator, space, effort.vectors, left, lambda grown: _settled(grown, rtol))
    return space.narrowed(space.outermost(max(2 * COUNT, effort.vectors // 2)))


def _settled(space: RitzSpace, rtol: float) -> bool:
    """Return True where all outermost errors, by residual and gap, are within a quarter of their tolerance."""
    values, residuals = space.values, space.residuals
    if len(values) < 2 * COUNT + 2:
        return False
    asked = rtol * np.maximum(np.abs(values), NEAR_ZERO * np.abs(values).max()) / 4
    outermost = np.r_[:COUNT, -COUNT:0]
    gaps = np.r_[values[COUNT] - values[:COUNT], values[-COUNT:] - values[-COUNT - 1]]
    errors = np.minimum(residuals[outermost], residuals[outermost] ** 2 / np.maximum(gaps, 1e-300))
    return bool((errors <= asked[outermost]).all())
