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

    `space` holds their Ritz vectors; every certificate fails with probability at most 2 DELTA, all at once.
    """

    values: tuple[Estimate, ...]
    space: RitzSpace

    @property
    def known(self) -> bool:
        return all(value.status is Status.CERTIFIED for value in self.values)


@dataclass(frozen=True)
class Effort:
    """What may be spent: steps of the first run, steps of each check, vectors that the first run may hold."""

    steps: int
    check: int
    vectors: int


def outer_eigenvalues(operator: LinearOperator, seed: int, rtol: float, effort: Effort, noise: float = 0.0) -> Outer:
    """Both ends by two Lanczos runs: one finds them, a second one from a fresh start bounds what the first left out.

    A single run sees one copy of an eigenvalue at most, so that no bound on a second eigenvalue can be read from it.
    The check runs on R A R, R = I - QQ', inside the complement of the first space Q: its polynomial bounds R A R from
    both sides (probability 1 - 10^-3 each), its Ritz values find copies that the first run could not see. Where the
    check does not close an interval the first run goes on to the end of its steps, and is checked again. The tolerance
    is rtol |value|, or rtol |A| / 10 for a value closer to zero; `noise` bounds what the arithmetic adds to A in norm.
    """
    process = started(operator, seed, min(effort.vectors, effort.steps), STREAM)
    run = first_look(process, lambda run: _settled(RitzSpace.of(run), rtol), process.capacity)
    found = _checked(operator, _within(operator, run, rtol, effort), seed, rtol, effort.check, noise)
    if found.known or process.finished:
        return found
    process.advance(process.capacity)
    space = _within(operator, process.first(process.steps), rtol, effort)
    return _charged(_checked(operator, space, seed, rtol, effort.check, noise), found)


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


def _checked(operator: LinearOperator, space: RitzSpace, seed: int, rtol: float, check: int, noise: float) -> Outer:
    n, k = operator.shape[0], space.basis.shape[1]
    if k == n:
        return _enclosed(operator, space, None, rtol, noise)
    start = probes(n, seed, CHECK, [0], "gaussian", torch.float64).to(operator.device)
    inside, _ = project_out(start, space.basis.double())
    rest = LanczosProcess(Remainder(operator, space.basis), inside[:, 0], min(check, n - k))
    while not rest.finished:
        rest.advance(rest.steps + EVERY)
        found = _enclosed(operator, space, rest.first(rest.steps), rtol, noise)
        if found.known:
            break
    return found


def _enclosed(operator: LinearOperator, space: RitzSpace, rest: Lanczos | None, rtol: float, noise: float) -> Outer:
    """Ritz values of both spaces together, and the bounds around them."""
    n = operator.shape[0]
    tops = min(COUNT, n)
    bottoms = min(COUNT, n - tops)
    if rest is None:
        inner, spent, ends = space.values, space.num_matvecs, None
    else:
        inner, spent, ends = _together(space, rest), space.num_matvecs + rest.num_matvecs, ends_of(rest, rtol)
    high, low = _bounds(space, ends, n, tops, bottoms)
    norm = max(abs(float(inner[0])), abs(float(inner[-1])))
    slack = max(ROUNDING * torch.finfo(operator.dtype).eps * norm, noise)
    tolerance = Tolerance(rtol, NEAR_ZERO * norm)

    def settled(value: float, lower: float, upper: float) -> Estimate:
        lower, upper = min(lower, value) - slack, max(upper, value) + slack
        raw = Estimate(value, NAN, lower, upper, 1 - DELTA, 1, spent, "lanczos, checked by a second run", Status.BUDGET)
        return tolerance.settle(raw, Status.CERTIFIED)

    largest = [settled(value, value, bound) for value, bound in zip(inner[::-1], high, strict=False)]
    smallest = [settled(value, bound, value) for value, bound in zip(inner, low, strict=False)]
    return Outer((*largest, *reversed(smallest)), space)


def _bounds(space: RitzSpace, ends: Ends | None, n: int, tops: int, bottoms: int) -> tuple[np.ndarray, np.ndarray]:
    above, below = (ends.largest.upper, ends.smallest.lower) if ends else (NAN, NAN)
    return largest_bounds(space, above, n, tops), smallest_bounds(space, below, n, bottoms)


def _together(space: RitzSpace, rest: Lanczos) -> np.ndarray:
    """Ritz values, ascending, of the sum of a space and one in its complement: nothing but their known products."""
    along = (rest.basis.T @ space.residual).double().cpu().numpy()
    mixed = np.outer(space.coupling, along)
    return np.linalg.eigvalsh(np.block([[space.projected, mixed], [mixed.T, rest.projected]]))


def _charged(found: Outer, before: Outer) -> Outer:
    """The cost of a check that did not close the intervals is part of the price."""
    spent = before.values[0].num_matvecs - before.space.num_matvecs
    return Outer(tuple(replace(v, num_matvecs=v.num_matvecs + spent) for v in found.values), found.space)
