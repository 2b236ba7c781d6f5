"""The laptop is the reference: a for loop."""

import traceback
from collections.abc import Iterator, Sequence

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, Lost, UnitError
from scalecurv.engine.worker import Analyst


def run_serial(analyst: Analyst, units: Sequence[str], device: str, threads: int) -> Iterator[Done | Lost]:
    """Each unit in turn, in this process; out of memory counts as an attempt, any other exception as a bug."""
    analyse = analyst.on(device, threads)
    for unit in units:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                yield Done(unit, analyse(unit), attempt)
                break
            except MemoryError as error:
                if attempt == MAX_ATTEMPTS:
                    yield Lost(unit, f"out of memory: {error}", attempt)
            except Exception as error:
                raise UnitError(unit, traceback.format_exc()) from error
