"""What a first Krylov space says of the outermost eigenvalues once a second run has looked for what it left out."""

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
COUNT = 2  # at either end


@dataclass(frozen=True)
class Outer:
    """The outermost eigenvalues from the largest to the smallest, two at each end (all of them where n < 4).

    `space` is that of the first run, `rest` the second run; `confidence` is that of all certificates at once.
    """

    values: tuple[Estimate, ...]
    space: RitzSpace
    rest: Lanczos | None
    confidence: float

    @property
    def known(self) -> bool:
        return all(value.status is Status.CERTIFIED for value in self.values)

    @property
    def num_matvecs(self) -> int:
        return self.values[0].num_matvecs

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
class Sought:
    """What the first run leaves to be checked: its space, and the bounds that its polynomial gives."""

    operator: LinearOperator
    space: RitzSpace
    first: Ends
    rtol: float
    noise: float
    checks: int

    def enclosed(self, rest: Lanczos | None, at_best: bool = False) -> Outer:
        """Ritz values of both spaces together, and the bounds around them; `at_best` those that no check can better."""
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
        # an end's: that of the first run and of each check, more than START each, so that the noise's is in it
        method, doubt = "lanczos, checked by a second run", (1 + self.checks) * DELTA

        def settled(value: float, lower: float, upper: float) -> Estimate:
            low = float(max(min(lower, value), self.first.smallest.lower) - slack)
            high = float(min(max(upper, value), self.first.largest.upper) + slack)
            raw = Estimate(float(value), NAN, low, high, 1 - doubt, 1, spent, method, Status.BUDGET)
            if low <= value <= high:
                return tolerance.settle(raw, Status.CERTIFIED)
            return replace(raw, lower=min(low, high, value), upper=max(low, high, value), status=Status.INCONSISTENT)

        largest = [settled(value, value, bound) for value, bound in zip(inner[::-1], high, strict=False)]
        smallest = [settled(value, bound, value) for value, bound in zip(inner, low, strict=False)]
        return Outer((*largest, *reversed(smallest)), space, rest, 1 - 2 * doubt)


def checked(sought: Sought, seed: int, num_matvecs: int, patient: bool) -> Outer:
    """One check of at most `num_matvecs` steps; unless `patient` it ends once no more of it could close every interval.

    It runs on R A R, R = I - QQ', from a fresh Gaussian start in the complement of the first space Q. Its polynomial
    bounds R A R from both sides (each fails with a chance of START at most), and its Ritz values find copies of
    eigenvalues that the first run could not see. The first run's own polynomial bounds the very ends too.
    """
    operator, Q = sought.operator, sought.space.basis
    n, k = Q.shape
    if k == n:
        return sought.enclosed(None)
    start, _ = project_out(probes(n, seed, STREAM, [0], "gaussian", operator.dtype, operator.device), Q)
    start, _ = project_out((start / norms(start)).to(operator.dtype), Q)
    size = float(np.abs(sought.space.values).max())
    rest = LanczosProcess(Remainder(operator, Q), start[:, 0], min(num_matvecs, n - k), Q, size)
    while True:
        rest.advance(rest.steps + EVERY)
        run = rest.first(rest.steps)
        found = sought.enclosed(run)
        if found.known or rest.finished or not (patient or sought.enclosed(run, at_best=True).known):
            return found


def _ritz(space: RitzSpace, rest: Lanczos | None) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values, ascending, and vectors of the sum of a space and one in its complement, from what is known of A.

    A Q = Q T + r c' and V in the complement of Q: V'AQ = (V'r) c'.
    """
    if rest is None:
        return np.linalg.eigh(space.projected)
    along = (rest.basis.T @ space.residual).double().cpu().numpy()
    mixed = np.outer(space.coupling, along)
    return np.linalg.eigh(np.block([[space.projected, mixed], [mixed.T, rest.projected]]))
