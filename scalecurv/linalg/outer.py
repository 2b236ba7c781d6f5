"""The two largest and the two smallest eigenvalues of an operator, each inside a two-sided certificate."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from scalecurv.estimate import NAN, Estimate, Status
from scalecurv.linalg.bordered import largest_bounds, smallest_bounds
from scalecurv.linalg.extremes import DELTA, EVERY, NEAR_ZERO, ROUNDING, Ends, ends_of, first_look, started
from scalecurv.linalg.lanczos import Lanczos, LanczosProcess
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.orthogonalize import project_out
from scalecurv.linalg.probes import probes
from scalecurv.linalg.remainder import Remainder
from scalecurv.linalg.restart import thick_restart
from scalecurv.linalg.ritz import RitzSpace
from scalecurv.linalg.sequential import Tolerance

STREAM = "outer start"
CHECK = "outer check"
COUNT = 2


@dataclass(frozen=True)
class Outer:
    """The outermost eigenvalues from the largest to the smallest, two at each end (all of them where n < 4).

    `space` holds their Ritz vectors; `confidence` is that of all certificates at once.
    """

    values: tuple[Estimate, ...]
    space: RitzSpace
    confidence: float

    @property
    def known(self) -> bool:
        return all(value.status is Status.CERTIFIED for value in self.values)


@dataclass(frozen=True)
class Effort:
    """What may be spent: steps of the first run, steps of all checks together, vectors that the first run may hold."""

    steps: int
    check: int
    vectors: int


def outer_eigenvalues(operator: LinearOperator, seed: int, rtol: float, effort: Effort, noise: float = 0.0) -> Outer:
    """Both ends by two Lanczos runs: one finds them, a second one from a fresh start bounds what the first left out.

    A single run sees one copy of an eigenvalue at most, so that no bound on a second eigenvalue can be read from it.
    The check runs on R A R, R = I - QQ', inside the complement of the first space Q: its polynomial bounds R A R from
    both sides (probability 1 - 10^-3 each), its Ritz values find copies that the first run could not see. The first
    run's own polynomial bounds the very ends too. Where the check cannot close every interval the first run goes on by
    half of its length, and is checked again: each check adds its chance to fail. The tolerance is rtol |value|, or
    rtol |A| / 10 for a value closer to zero; `noise` bounds what the arithmetic adds to A in norm.
    """
    process = started(operator, seed, min(effort.vectors, effort.steps), STREAM)
    run = first_look(process, lambda run: _settled(RitzSpace.of(run), rtol), process.capacity)
    steps, checked, rounds = run.num_matvecs, 0, 0
    while True:
        rounds += 1
        run = process.first(steps)
        space = _within(operator, run, rtol, effort)
        last = process.finished and steps == process.steps
        left = effort.check - checked
        sought = _Sought(operator, space, ends_of(run, rtol), rtol, noise, rounds)
        found = _checked(sought, seed, left if last else left // 2, patient=last)
        spent = found.values[0].num_matvecs - space.num_matvecs
        if found.known or last:
            return _charged(found, checked)
        checked += spent
        steps = min(steps + max(EVERY, steps // 2), process.capacity)
        process.advance(steps)
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


@dataclass(frozen=True)
class _Sought:
    """What the first run leaves to be checked: its space, and the bounds that its polynomial gives."""

    operator: LinearOperator
    space: RitzSpace
    first: Ends
    rtol: float
    noise: float
    rounds: int

    def enclosed(self, rest: Lanczos | None, at_best: bool = False) -> Outer:
        """Ritz values of both spaces together, and the bounds around them; `at_best` those that no check can better."""
        space, n = self.space, self.operator.shape[0]
        tops = min(COUNT, n)
        bottoms = min(COUNT, n - tops)
        inner, spent, above, below = space.values, space.num_matvecs, NAN, NAN
        if rest is not None:
            inner, spent, ends = _together(space, rest), spent + rest.num_matvecs, ends_of(rest, self.rtol)
            above, below = (
                (ends.largest.value, ends.smallest.value) if at_best else (ends.largest.upper, ends.smallest.lower)
            )
        high, low = largest_bounds(space, above, n, tops), smallest_bounds(space, below, n, bottoms)
        norm = max(abs(float(inner[0])), abs(float(inner[-1])))
        slack = max(ROUNDING * torch.finfo(self.operator.dtype).eps * norm, self.noise)
        tolerance = Tolerance(self.rtol, NEAR_ZERO * norm)
        method, doubt = "lanczos, checked by a second run", (1 + self.rounds) * DELTA  # an end's

        def settled(value: float, lower: float, upper: float) -> Estimate:
            lower = float(max(min(lower, value), self.first.smallest.lower) - slack)
            upper = float(min(max(upper, value), self.first.largest.upper) + slack)
            raw = Estimate(float(value), NAN, lower, upper, 1 - doubt, 1, spent, method, Status.BUDGET)
            return tolerance.settle(raw, Status.CERTIFIED)

        largest = [settled(value, value, bound) for value, bound in zip(inner[::-1], high, strict=False)]
        smallest = [settled(value, bound, value) for value, bound in zip(inner, low, strict=False)]
        return Outer((*largest, *reversed(smallest)), space, 1 - 2 * doubt)


def _checked(sought: _Sought, seed: int, num_matvecs: int, patient: bool) -> Outer:
    """One check; unless `patient` it ends as soon as no more of it could close every interval."""
    operator, Q = sought.operator, sought.space.basis
    n, k = Q.shape
    if k == n:
        return sought.enclosed(None)
    start = probes(n, seed, CHECK, [0], "gaussian", torch.float64).to(operator.device)
    inside, _ = project_out(start, Q.double())
    rest = LanczosProcess(Remainder(operator, Q), inside[:, 0], max(1, min(num_matvecs, n - k)))
    while True:
        rest.advance(rest.steps + EVERY)
        run = rest.first(rest.steps)
        found = sought.enclosed(run)
        if found.known or rest.finished or not (patient or sought.enclosed(run, at_best=True).known):
            return found


def _together(space: RitzSpace, rest: Lanczos) -> np.ndarray:
    """Ritz values, ascending, of the sum of a space and one in its complement: nothing but their known products."""
    along = (rest.basis.T @ space.residual).double().cpu().numpy()
    mixed = np.outer(space.coupling, along)
    return np.linalg.eigvalsh(np.block([[space.projected, mixed], [mixed.T, rest.projected]]))


def _charged(found: Outer, spent: int) -> Outer:
    """Checks that could not close the intervals are part of the price."""
    return replace(found, values=tuple(replace(v, num_matvecs=v.num_matvecs + spent) for v in found.values))
