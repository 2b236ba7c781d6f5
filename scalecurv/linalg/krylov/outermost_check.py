"""Bounds on the outermost eigenvalues from a first Krylov space and a second run in its complement."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.krylov.extremes import DELTA, EVERY, NEAR_ZERO, Ends, ends_of, rounding_of
from scalecurv.linalg.krylov.lanczos import Lanczos, LanczosProcess
from scalecurv.linalg.krylov.ritz import Remainder, RitzSpace, largest_bounds, smallest_bounds
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.statistics.stopping import Tolerance

STREAM = "outer check"
COUNT = 2  # eigenvalues at either end


@dataclass(frozen=True)
class Outermost:
    """The outermost eigenvalues from the largest to the smallest, two at each end (all of them where n < 4).

    `space` is the Ritz space of the first run, `rest` the second run. `confidence` is the probability that all
    certificates hold at once.
    """

    values: tuple[Estimate, ...]
    space: RitzSpace
    rest: Lanczos | None
    confidence: float

    @property
    def known(self) -> bool:
        """True where every value is certified to its tolerance."""
        return all(value.status is Status.CERTIFIED for value in self.values)

    @property
    def num_matvecs(self) -> int:
        """The number of operator products that all values took."""
        return self.values[0].num_matvecs

    def charged(self, num_matvecs: int) -> "Outermost":
        """Return the eigenvalues with `num_matvecs` operator products added to their cost."""
        return replace(self, values=tuple(value.charged(num_matvecs) for value in self.values))

    @property
    def vectors(self) -> Tensor:
        """The Ritz vectors of `values`, shape (n, len(values)), from both spaces together."""
        top = min(COUNT, len(self.values))
        _, small = _ritz(self.space, self.rest)
        small = np.hstack([small[:, ::-1][:, :top], small[:, : len(self.values) - top][:, ::-1]])
        k = len(self.space.coupling)
        cast = torch.from_numpy(small).to(self.space.basis.device, self.space.basis.dtype)
        vectors = self.space.basis @ cast[:k]
        return vectors if self.rest is None else vectors + self.rest.basis @ cast[k:]


@dataclass(frozen=True)
class FirstRun:
    """A first run before its check: its Ritz space, and the bounds that its Lanczos polynomial gives (`ends`)."""

    operator: LinearOperator
    space: RitzSpace
    ends: Ends
    rtol: float
    noise: float
    checks: int

    def enclosed(self, rest: Lanczos | None, at_best: bool = False) -> Outermost:
        """Return the Ritz values of both spaces together with their bounds.

        `rest` is the second run, None where the first space is the whole space. With `at_best` the bounds are the
        narrowest that further steps of the second run could reach.
        """
        space, n = self.space, self.operator.shape[0]
        tops = min(COUNT, n)
        bottoms = min(COUNT, n - tops)
        inner, spent, above, below = space.values, space.num_matvecs, NAN, NAN
        if rest is not None:
            inner, spent, ends = _ritz(space, rest)[0], spent + rest.num_matvecs, ends_of(rest, self.rtol)
            above, below = (
                (ends.largest.value, ends.smallest.value) if at_best else (ends.largest.upper, ends.smallest.lower)
            )
        high, low = largest_bounds(space, above, n, tops), smallest_bounds(space, below, n, bottoms)
        norm = max(abs(float(inner[0])), abs(float(inner[-1])))
        slack = max(rounding_of(norm, self.operator.dtype, spent), self.noise)
        tolerance = Tolerance(self.rtol, NEAR_ZERO * norm)
        # the first run and each check fail with a chance of START; DELTA for each leaves room for the noise
        method, doubt = "lanczos, checked by a second run", (1 + self.checks) * DELTA

        def settled(value: float, lower: float, upper: float) -> Estimate:
            low = float(max(min(lower, value), self.ends.smallest.lower) - slack)
            high = float(min(max(upper, value), self.ends.largest.upper) + slack)
            raw = Estimate(float(value), NAN, low, high, 1 - doubt, 1, spent, method, Status.BUDGET)
            if low <= value <= high:
                return tolerance.settle(raw, Status.CERTIFIED)
            return replace(raw, lower=min(low, high, value), upper=max(low, high, value), status=Status.INCONSISTENT)

        largest = [settled(value, value, bound) for value, bound in zip(inner[::-1], high, strict=False)]
        smallest = [settled(value, bound, value) for value, bound in zip(inner, low, strict=False)]
        return Outermost((*largest, *reversed(smallest)), space, rest, 1 - 2 * doubt)


def checked(first_run: FirstRun, seed: int, num_matvecs: int, patient: bool) -> Outermost:
    """Return the eigenvalues after one check of at most `num_matvecs` steps.

    The check runs on R A R, R = I - QQ', from a fresh Gaussian start in the complement of the first space Q. Its
    polynomial bounds R A R from both sides (each bound fails with a chance of START at most), and its Ritz values find
    copies of eigenvalues that the first run could not see. The polynomial of the first run bounds the first and last
    eigenvalue too. Unless `patient`, the check ends as soon as no further step could close every interval.
    """
    operator, Q = first_run.operator, first_run.space.basis
    n, k = Q.shape
    if k == n:
        return first_run.enclosed(None)
    start, _ = project_out(probes(n, seed, STREAM, [0], "gaussian", operator.dtype, operator.device), Q)
    start, _ = project_out((start / norms(start)).to(operator.dtype), Q)
    size = float(np.abs(first_run.space.values).max())
    rest = LanczosProcess(Remainder(operator, Q), start[:, 0], min(num_matvecs, n - k), Q, size)
    while True:
        rest.advance(rest.steps + EVERY)
        run = rest.first(rest.steps)
        found = first_run.enclosed(run)
        if found.known or rest.finished or not (patient or first_run.enclosed(run, at_best=True).known):
            return found


def _ritz(space: RitzSpace, rest: Lanczos | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the Ritz values, ascending, and the Ritz vectors of the sum of `space` and the space of `rest`.

    A Q = Q T + r c' gives V'AQ = (V'r) c' for the basis V of `rest`, which is orthogonal to Q; no product is taken.
    """
    if rest is None:
        return np.linalg.eigh(space.projected)
    along = (rest.basis.T @ space.residual).double().cpu().numpy()
    mixed = np.outer(space.coupling, along)
    return np.linalg.eigh(np.block([[space.projected, mixed], [mixed.T, rest.projected]]))
