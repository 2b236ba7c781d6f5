"""The two largest and the two smallest eigenvalues of an operator, each inside a two-sided certificate."""

from dataclasses import dataclass, replace

import numpy as np

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.krylov.extremes import EVERY, NEAR_ZERO, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.krylov.outermost_check import COUNT, Outer, Sought, checked
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator

STREAM = "outer start"
CHECKS = 4


@dataclass(frozen=True)
class Effort:
    """What may be spent: steps of the first run, steps of all checks together, vectors that the first run may hold."""

    steps: int
    check: int
    vectors: int


def outer_eigenvalues(operator: Operand, seed: int, rtol: float, effort: Effort, noise: float = 0.0) -> Outer:
    """Both ends by two Lanczos runs: one finds them, a second one from a fresh start bounds what the first left out.

    A single run sees one copy of an eigenvalue at most, so that no bound on a second eigenvalue can be read from it: a
    check of its own is needed. Where it cannot close every interval the first run goes on by half of its length and is
    checked again, at last to its end: CHECKS times at most, each with its chance to fail. The tolerance is rtol
    |value|, or rtol |A| / 10 for a value closer to zero; `noise` bounds what the arithmetic adds to A in norm.
    """
    operator = aslinearoperator(operator)
    process = started(operator, seed, min(effort.vectors, effort.steps), STREAM)
    run = first_look(process, lambda run: _settled(RitzSpace.of(run), rtol), process.capacity)
    steps, spent, checks = run.num_matvecs, 0, 0
    while True:
        last = process.finished and steps == process.steps
        afforded = effort.check - spent if last else (effort.check - spent) // 2  # something is left for the last
        if afforded or last:
            checks += 1
            run = process.first(steps)
            space = _within(operator, run, rtol, effort)
            sought = Sought(operator, space, ends_of(run, rtol), rtol, noise, CHECKS)
            found = checked(sought, seed, afforded, patient=last)
            if found.known or last:
                return _charged(found, spent)
            spent += found.num_matvecs - space.num_matvecs
        further = steps + max(EVERY, steps // 2) if checks < CHECKS - 1 else process.capacity
        process.advance(min(further, process.capacity))
        steps = process.steps


def _within(operator: LinearOperator, run: Lanczos, rtol: float, effort: Effort) -> RitzSpace:
    """The space of a run, restarted where memory was too short for all of its steps."""
    space, left = RitzSpace.of(run), effort.steps - run.num_matvecs
    full = run.num_matvecs == effort.vectors and not run.invariant
    if not full or left < 2 or effort.vectors < 4 or _settled(space, rtol):
        return space
    space = thick_restart(operator, space, effort.vectors, left, lambda grown: _settled(grown, rtol))
    return space.narrowed(space.outermost(max(2 * COUNT, effort.vectors // 2)))


def _settled(space: RitzSpace, rtol: float) -> bool:
    """Whether both outer pairs look known to a quarter of their tolerance, by residual and gap."""
    values, residuals = space.values, space.residuals
    if len(values) < 2 * COUNT + 2:
        return False
    asked = rtol * np.maximum(np.abs(values), NEAR_ZERO * np.abs(values).max()) / 4
    outer = np.r_[:COUNT, -COUNT:0]
    gaps = np.r_[values[COUNT] - values[:COUNT], values[-COUNT:] - values[-COUNT - 1]]
    errors = np.minimum(residuals[outer], residuals[outer] ** 2 / np.maximum(gaps, 1e-300))
    return bool((errors <= asked[outer]).all())


def _charged(found: Outer, spent: int) -> Outer:
    """Checks that could not close the intervals are part of the price."""
    return replace(found, values=tuple(replace(v, num_matvecs=v.num_matvecs + spent) for v in found.values))
