"""The log of a sweep: a line for each checkpoint that is stored, with its seconds and the time that is left."""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from scalecurv.checkpoints.model import left_out_of
from scalecurv.record import Outcome, Stage

logger = logging.getLogger(__name__)  # the package logs, and leaves it to programs where that goes


class Progress:
    """Counts the checkpoints of a sweep and logs each: a line of level INFO, its measures at level DEBUG."""

    def __init__(self, total: int):
        self._total, self._count, self._began = total, 0, time.perf_counter()
        self._left_out: set[tuple[str, ...]] = set()

    def log(self, outcome: Outcome) -> None:
        """Log one checkpoint that is stored: "3/24 ok runs/a/step_2.pt 0.42 s, 0:00:08 left"."""
        self._count += 1
        left_out = tuple(left_out_of(outcome.architecture))
        if left_out and left_out not in self._left_out:  # once for all checkpoints alike
            self._left_out.add(left_out)
            logger.warning("%s: no part of the model, left out: %s", outcome.path, ", ".join(left_out))
        each = (time.perf_counter() - self._began) / self._count
        left = timedelta(seconds=round(each * (self._total - self._count)))
        rest = f", {left} left" if self._count < self._total else ""
        taken = f"{outcome.seconds:.2f} s"
        logger.info("%d/%d %s %s %s%s", self._count, self._total, outcome.status, outcome.path, taken, rest)
        if outcome.records:
            measures = ", ".join(f"{record.measure} {record.seconds:.2f} s" for record in outcome.records)
            logger.debug("%s: %s", outcome.path, measures)


def log_stages(stages: Iterable[Stage]) -> None:
    """Log the checkpoint that has taken longest, and how many others are under way: see `line_of`."""
    by_time = sorted(stages, key=lambda stage: stage.seconds, reverse=True)
    if by_time:
        others = f"; {len(by_time) - 1} other(s) under way" if len(by_time) > 1 else ""
        logger.info("%s%s", line_of(by_time[0]), others)


def line_of(stage: Stage) -> str:
    """Return what is computed at a checkpoint, how far it is, and since when.

    Example:
        >>> line_of(Stage("runs/a/step_120.pt", seconds=190.2, measure="moments", products=240, expected=1000))
        'step_120.pt: moments, 240 of up to 1,000 products, 0:03:10'
    """
    since = str(timedelta(seconds=round(stage.seconds)))
    parts = [stage.measure or "reading", stage.progress, since]
    return f"{Path(stage.path).name}: {', '.join(filter(None, parts))}"
