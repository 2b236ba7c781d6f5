"""The work of a sweep over a training that still writes checkpoints, as they come."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from scalecurv.checkpoints.discover import discover
from scalecurv.errors import NothingFound
from scalecurv.record import FileStamp
from scalecurv.sweeps.work import Sweep, Work, find_work, state_of

POLL = 2.0  # seconds between two looks: a file that is the same in both is whole


def work_as_it_comes(
    sweep: Sweep, patience: float | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Work]:
    """Yield the work whenever there are new checkpoints; execute it before asking for more. Raises Misuse.

    A file that grew since the last look waits until two looks find it the same; one that failed is tried again when it
    changes. Ends after `patience` seconds in which no file appeared or changed; without a patience it never ends.
    """
    before: set[FileStamp] = set()
    done: set[FileStamp] = set()
    said: tuple[str, ...] | None = None  # notes are for the first look that has some
    waited = -POLL  # it takes two looks to see that a file is whole
    while patience is None or waited <= patience:
        now = _stamps(sweep)
        if now != before:
            waited = -POLL
        if fresh := (now & before) - done:
            done |= fresh
            with suppress(NothingFound):  # only the data is there, before the first checkpoint
                work = find_work(sweep, only={stamp.path for stamp in fresh})
                yield work if said is None else replace(work, notes=())
                said = work.notes or said
        before = now
        sleep(POLL)
        waited += POLL


def _stamps(sweep: Sweep) -> set[FileStamp]:
    """Return the states of all checkpoints now; none where there is no checkpoint yet."""
    try:
        found = discover(sweep.checkpoints, globs=sweep.globs)
    except NothingFound:  # the training has not written its first checkpoint
        return set()
    return {stamp for path in found if (stamp := state_of(path)) is not None}
