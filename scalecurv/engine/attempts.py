"""The results of analysing a checkpoint on some worker: done, given up, or stopped by a bug."""

from dataclasses import dataclass
from typing import Any

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Done:
    """The result for the checkpoint at `path`, and the number of the attempt that gave it."""

    path: str
    result: Any
    attempt: int


@dataclass(frozen=True)
class GivenUp:
    """A checkpoint whose analysis ended its worker `attempt` times (killed, out of memory, node lost)."""

    path: str
    reason: str
    attempt: int


class UnexpectedError(Exception):
    """A bug met at one checkpoint, raised after all running work has ended. The message holds the traceback."""

    def __init__(self, path: str, traceback: str):
        super().__init__(f"while analysing {path}:\n{traceback}")
        self.path = path
