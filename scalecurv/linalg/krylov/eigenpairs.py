"""The k outermost eigenpairs of a symmetric operator, each value with a two-sided certificate, copies included."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.krylov.block_space import BlockSpace, grown, merged
from scalecurv.linalg.krylov.enclosed import Proven, Question, Which, enclosed, unsettled
from scalecurv.linalg.krylov.extremes import EVERY, NEAR_ZERO, START, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import LanczosProcess
from scalecurv.linalg.krylov.ritz import Remainder
from scalecurv.linalg.krylov.warm import spanned, stream_beside
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import Estimate

STREAM = "eigenpairs start"
CHECK = "eigenpairs check"
SHARE = 8  # a check is left an eighth of the products, at least


def room_for(k: int) -> int:
    """Return the least number of vectors with which a restart keeps k pairs of either end."""
    return 4 * k + 8


def chance_of(check: int) -> float:
    """Return the chance with which check 1, 2, ... may fail: START / (2 i (i + 1)), all together START / 2.

    The first run may fail with a chance of START / 2 too.
    """
    return START / (2 * check * (check + 1))


@dataclass(frozen=True, eq=False)
class Pairs:
    """The k eigenvalues asked for, from the outermost inwards, and their Ritz vectors (n, k), orthonormal.

    `confidence` is the probability that all intervals hold at once. `num_checks` counts the runs from fresh starts.
    """

    values: tuple[Estimate, ...]
    vectors: Tensor
    confidence: float
    num_matvecs: int
    num_checks: int


def outermost_eigenpairs(
    operator: Operand,
    k: int,
    which: Which,
    seed: int,
    rtol: float,
    num_matvecs: int,
    vectors: int,
    noise: float = 0.0,
    warm: Tensor | None = None,
) -> Pairs:
    """Return the k largest ("LA"), smallest ("SA") or largest in size ("LM") eigenvalues with their vectors.

    A Lanczos run from a Gaussian start finds one copy of each eigenvalue. A check, a run from a fresh start in the
    complement of the space, bounds the eigenvalues that the space leaves out. The space takes in each check, with the
    copies that it found, and grows on until its pairs are known again; it is checked until every interval is closed or
    `num_matvecs` products are taken. The chances of the checks to fail sum to less than DELTA however many there are.
    A space of more than `vectors` vectors is restarted with half of them; 3 times as many are in memory at once.

    `warm` (n, j) takes the place of the first run: the space starts as the span of its first columns, no more than half
    of `vectors` and of `num_matvecs`, for one product each. Whatever the columns are, the certificate is as good, as it
    rests on the checks alone, whose starts are independent of `warm`; good columns save products.

    Raises ValueError where there are fewer than k + 2 products or 4 k + 8 vectors (n of either are enough), or `warm`
    is no block of n rows of finite numbers, and TypeError on an operator that is not declared symmetric.
    (Lanczos 1950; Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22)

    Example:
        >>> found = outermost_eigenpairs(np.diag([4.0, 4.0, 1.0, -5.0]), 3, "LM", 0, 0.01, num_matvecs=20, vectors=10)
        >>> [round(value.value, 9) for value in found.values], found.values[0].status.value
        ([-5.0, 4.0, 4.0], 'certified')
    """
    operator = aslinearoperator(operator)
    n = operator.shape[0]
    if not 1 <= k <= n or num_matvecs < min(k + 2, n) or vectors < min(room_for(k), n):
        raise ValueError(f"k={k} pairs of {n} x {n} take k from 1 to {n}, {k + 2} products and {room_for(k)} vectors")
    asked = Question(k, which, n, rtol, noise, operator.dtype)
    space = None if warm is None else spanned(operator, warm, min(vectors, num_matvecs) // 2)
    process, stream = None, CHECK if space is None or warm is None else stream_beside(warm, CHECK)
    if space is None:
        process = started(operator, seed, min(vectors, n if num_matvecs >= n else num_matvecs - 1), STREAM)
        settled = first_look(process, lambda run: not len(unsettled(BlockSpace.of(run), asked)), process.capacity)
        space = BlockSpace.of(settled)
    nowhere = Proven(np.full(k, -np.inf), np.full(k, np.inf))
    search = _Search(operator, asked, seed, num_matvecs, vectors, space, nowhere, process, stream)
    while not search.refined():
        search.check()
    found = enclosed(asked, search.space, search.proven)
    chosen = search.space.vectors(found.pairs)
    return Pairs(found.values, chosen, asked.confidence, search.space.num_matvecs, search.checks)


@dataclass
class _Search:
    """A space that grows and is checked.

    proven: the bounds on eigenvalues so far; each holds for good.
    first: the first run, which the space is that of; None once there is more in the space, or less, or no first run.
    stream: draws the starts of the checks; it is independent of the space at the beginning.
    rest: bounds on R A R from below and above by the last check, None after a restart has made R larger.
    splits: the numbers of pairs that may have to be known at the upper and at the lower end, as the last check showed.
    due: the number of products at which the next check is of use, as the last one was in vain.
    """

    operator: LinearOperator
    asked: Question
    seed: int
    num_matvecs: int
    vectors: int
    space: BlockSpace
    proven: Proven
    first: LanczosProcess | None
    stream: str = CHECK
    rest: tuple[float, float] | None = None
    splits: tuple[int, int] | None = None
    due: int = 0
    checks: int = 0

    def refined(self) -> bool:
        """Grow the space until its pairs are settled; return True where no further check is of use, or affordable."""
        limit = self.num_matvecs - max(1, (self.num_matvecs - self.space.num_matvecs) // SHARE)
        while True:
            space, closed = self.space, self._closed()
            focus = unsettled(space, self.asked, self.splits)
            known = space.basis.shape[1] == self.asked.n or (closed and not len(focus))
            if known or space.num_matvecs >= self.num_matvecs:
                return True
            waits = len(focus) or space.num_matvecs < self.due
            if not closed and not (waits and space.num_matvecs < limit and space.coupling.shape[1]):
                return False
            self._grow()

    def check(self) -> None:
        """Bound the eigenvalues outside of the space by a run from a fresh start, and take in the space of that run.

        The run ends as soon as every interval is closed, or could not be closed by further steps.
        """
        self._make_room(self.vectors + 1)
        self.checks += 1
        space, delta = self.space, chance_of(self.checks)
        process = self._process()
        while True:
            process.advance(process.steps + 1)
            run = process.first(process.steps)
            both, ends = merged(space, run), ends_of(run, self.asked.rtol, delta=delta)
            self.rest = (ends.smallest.lower, ends.largest.upper)
            proven, at_best = (
                self.proven.narrowed(space, *rest).narrowed(both, *rest)
                for rest in (self.rest, (ends.smallest.value, ends.largest.value))
            )
            found = enclosed(self.asked, both, proven)
            if found.closed or process.finished or not enclosed(self.asked, both, at_best).closed:
                break
        self.proven, self.splits = proven, found.splits
        if found.closed or both.num_matvecs >= self.num_matvecs or self._news(both):
            self.space, self.first = both, None
        else:  # a space with a start of its own for each check that was in vain would grow slowly
            self.space = replace(space, num_matvecs=both.num_matvecs)
            self.due = both.num_matvecs + max(EVERY, space.basis.shape[1] // 2)

    def _grow(self) -> None:
        """Take one product where there is anything left to continue with."""
        self._make_room(self.vectors)
        space = self.space
        if not space.coupling.shape[1]:
            return
        if self.first is not None and not self.first.finished:
            self.first.advance(self.first.steps + 1)
            longer = BlockSpace.of(self.first.first(self.first.steps))
            self.space = replace(longer, num_matvecs=space.num_matvecs + 1)
            return
        focus = unsettled(space, self.asked, self.splits)
        if not len(focus):  # the bounds suffer from pairs beyond those asked for
            focus = self.asked.outermost(space.values, 2 * self.asked.k + EVERY)
        weights = 1 / np.maximum(np.abs(space.values[focus]), NEAR_ZERO * space.size)
        self.space, self.first = grown(self.operator, space, space.pairs[1][:, focus] * weights), None

    def _closed(self) -> bool:
        """Return True where no interval needs to be shorter, after the bounds that follow from the space as it is."""
        if self.first is not None:  # its polynomial bounds the whole spectrum
            ends = ends_of(self.first.first(self.first.steps), self.asked.rtol, delta=START / 2)
            self.proven = self.proven.within(ends.smallest.lower, ends.largest.upper)
        if self.space.basis.shape[1] == self.asked.n:
            self.rest = (np.nan, np.nan)  # nothing is left out
        if self.rest is not None:
            self.proven = self.proven.narrowed(self.space, *self.rest)
        return enclosed(self.asked, self.space, self.proven).closed

    def _make_room(self, full: int) -> None:
        """Restart a space of `full` vectors or more; what stays is half of the room, and the pairs asked for."""
        if full <= self.space.basis.shape[1] < self.asked.n:
            values = self.space.values
            asked_for = self.asked.ends(len(values), *(self.splits or self.asked.split(values, self.asked.k)))
            kept = np.union1d(self.asked.outermost(values, self.vectors // 2), asked_for)
            self.space, self.rest, self.first = self.space.narrowed(kept), None, None

    def _process(self) -> LanczosProcess:
        """Return a run of R A R from a fresh Gaussian start in the complement of the space."""
        Q, n = self.space.basis, self.asked.n
        left = self.num_matvecs - self.space.num_matvecs
        start = probes(n, self.seed, self.stream, [self.checks], "gaussian", Q.dtype, Q.device)
        start, _ = project_out(start, Q)
        start, _ = project_out((start / norms(start)).to(Q.dtype), Q)
        steps = min(left, n - Q.shape[1], max(EVERY, self.vectors // 2))
        return LanczosProcess(Remainder(self.operator, Q), start[:, 0], steps, Q, self.space.size)

    def _news(self, both: BlockSpace) -> bool:
        """Return True where a check has found values that belong to those asked for."""
        before, after = (space.values[self.asked.outermost(space.values, self.asked.k)] for space in (self.space, both))
        asked = self.asked.rtol * np.maximum(np.abs(after), NEAR_ZERO * both.size) / 4
        return len(before) < len(after) or bool((np.abs(after - before) > asked).any())
