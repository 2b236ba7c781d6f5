"""The serial engine, a for loop: the reference that every other engine must equal."""

import traceback
from collections.abc import Iterator, Sequence

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, GivenUp, UnexpectedError
from scalecurv.engine.threads import Threads
from scalecurv.engine.worker import Worker
from scalecurv.record import Stage, Tell


def run_serial(
    worker: Worker, paths: Sequence[str], device: str, threads: Threads, tell: Tell | None = None
) -> Iterator[Done | GivenUp]:
    """Analyse each checkpoint in turn in this process; yield Done or GivenUp, raise UnexpectedError for a bug.

    `tell` is told what is computed, now and then, from the thread that computes it.
    """
    analyse = worker.on(device, threads.count, why=threads.reason)
    for path in paths:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                if tell is None:
                    yield Done(path, analyse(path), attempt)
                else:
                    tell(Stage(path))
                    yield Done(path, analyse(path, tell=tell), attempt)
                break
            except MemoryError as error:
                if attempt == MAX_ATTEMPTS:
                    yield GivenUp(path, f"out of memory: {error}", attempt)
            except Exception as error:
                raise UnexpectedError(path, traceback.format_exc()) from error
