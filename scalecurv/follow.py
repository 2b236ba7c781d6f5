"""A training run watched: its checkpoints as they appear, each once it is whole."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from scalecurv.checkpoints.discover import discover
from scalecurv.checkpoints.load import stamp_of
from scalecurv.errors import CheckpointError, NothingFound
from scalecurv.record import FileStamp
from scalecurv.sweep import Plan, Sweep, plan

POLL = 2.0  # seconds between two looks: a file that is the same in both is whole


def plans_as_they_come(
    sweep: Sweep, patience: float | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Plan]:
    """A plan whenever there are new checkpoints, to be executed before the next is asked for; raises Misuse.

    A file that grew since the last look is left until it is the same twice; one that failed is tried again when it
    changes. Ends after `patience` seconds in which no file appeared or changed, never without one.
    """
    before: set[FileStamp] = set()
    done: set[FileStamp] = set()
    waited = -POLL  # it takes two looks to see that a file is whole
    while patience is None or waited <= patience:
        now = _stamps(sweep)
        if now != before:
            waited = -POLL
        if fresh := (now & before) - done:
            done |= fresh
            with suppress(NothingFound):  # but the data, before the first checkpoint
                yield plan(sweep, only={stamp.path for stamp in fresh})
        before = now
        sleep(POLL)
        waited += POLL


def _stamps(sweep: Sweep) -> set[FileStamp]:
    stamps = set()
    try:
        for path in discover(sweep.checkpoints):
            try:
                stamps.add(stamp_of(path))
            except CheckpointError:  # gone since it was listed
                continue
    except NothingFound:  # training has not come to its first
        return set()
    return stamps
