"""The share of a training's time that may be spent on measuring."""

import time
from collections.abc import Callable


class Budget:
    """The seconds spent on measuring and in all, and the share that may be spent; None stands for no limit.

    The clock starts with the first question. The first measurement is always allowed, as nobody knows what it costs;
    later ones are where, at the cost of the last one, the share stays kept: (spent + last) / (all + last) <= share. So
    only a first measurement, or one that costs more than the one before, can exceed the share, and the next ones wait
    until it is kept again.

    Example:
        >>> ticks = iter([0.0, 0.0, 1.0, 10.0, 19.0])
        >>> budget = Budget(0.1, clock=lambda: next(ticks))
        >>> budget.allows()
        True
        >>> with budget:
        ...     pass  # a measurement of 1 s
        >>> budget.allows(), budget.allows()  # after 10 s, and after 19 s: 2 of 20 s are a tenth
        (False, True)
    """

    def __init__(self, share: float | None, clock: Callable[[], float] = time.perf_counter):
        self.share, self._clock = share, clock
        self.spent, self._last = 0.0, 0.0
        self._began: float | None = None
        self._entered = 0.0

    def allows(self) -> bool:
        """Return True where another measurement of the last one's cost keeps the share."""
        now = self._clock()
        if self._began is None:
            self._began = now
        elapsed = now - self._began
        return self.share is None or not self.spent or self.spent + self._last <= self.share * (elapsed + self._last)

    def __enter__(self) -> None:
        self._entered = self._clock()
        if self._began is None:
            self._began = self._entered

    def __exit__(self, *_: object) -> None:
        self._last = self._clock() - self._entered
        self.spent += self._last
