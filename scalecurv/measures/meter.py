"""The progress of one checkpoint, told while it is computed: the measure, and its products of those it may take."""

import time
from collections.abc import Callable, Iterable

from scalecurv.errors import CheckpointError, Misuse
from scalecurv.measures.cost import POINT, MeasureCost, together
from scalecurv.measures.measure import Measure
from scalecurv.measures.own_findings import FaultyMeasure, cost_at
from scalecurv.problem.problem import Problem
from scalecurv.record import Stage, Tell

RATE = 2.0  # stages a second at most, over a while: each may be a message between two machines
BURST = 10.0  # stages that follow one another without a wait: as many as the measures of one checkpoint


class Meter:
    """Counts the products of each measure at the checkpoint `path`, and tells the stage now and then.

    It is told of products by `products`, which costs less than a microsecond, and knows nothing of what they are for:
    no number depends on it. `clock` gives seconds from some beginning.
    """

    def __init__(self, path: str, tell: Tell, worker: str = "", clock: Callable[[], float] = time.monotonic):
        self._path, self._tell, self._worker, self._clock = path, tell, worker, clock
        self._began = self._measured = self._told = clock()
        self._measure, self._expected, self._count, self._before = "", 0, 0, 0
        self._allowed, self._spare = BURST, 0

    def begin(self, measure: str, expected: int) -> None:
        """Say that a measure begins, which may take `expected` products at most; 0 where nobody knows."""
        now = self._clock()
        self._before += self._count
        # products at the point itself are shared: those that an earlier measure did not need yet come later
        self._spare = min(POINT, self._spare + max(self._expected - self._count, 0))
        most = expected + self._spare if expected else 0
        self._measure, self._expected, self._count, self._measured = measure, most, 0, now
        self._tell_at(now)

    def products(self, count: int) -> None:
        """Add products that were taken."""
        self._count += count
        now = self._clock()
        if now - self._told >= 1 / RATE:
            self._tell_at(now)

    def _tell_at(self, now: float) -> None:
        """Tell the stage, unless so many were told that this one can wait for the next product."""
        self._allowed = min(self._allowed + (now - self._told) * RATE, BURST)
        if self._allowed < 1:
            return
        self._allowed -= 1
        self._told = now
        taken = self._before + self._count
        measure = (self._measure, now - self._measured, self._count, self._expected)
        self._tell(Stage(self._path, self._worker, now - self._began, taken, *measure))


def expected_products(measures: Iterable[Measure], problem: Problem) -> list[int]:
    """Return the most products that each measure adds to those before it; 0 where its cost is not known.

    Products that measures of the same parameters share count at the first of them.
    """
    totals: dict[str | None, MeasureCost] = {}
    expected = []
    for measure in measures:
        before = totals.get(measure.params)
        try:
            cost = cost_at(measure, problem.restricted(measure.params))
        except (Misuse, CheckpointError, FaultyMeasure, ArithmeticError):  # told when the measure itself is computed
            expected.append(0)
            continue
        totals[measure.params] = total = together((before, cost)) if before else together((cost,))
        expected.append(_products(total) - (_products(before) if before else 0))
    return expected


def _products(cost: MeasureCost) -> int:
    return cost.own + cost.shared + cost.written_out
