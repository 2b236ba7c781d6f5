"""What comes of a unit of work: its result, the news that it was given up, or a bug."""

from dataclasses import dataclass
from typing import Any

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Done:
    """A unit's result, and at which attempt it came."""

    unit: str
    result: Any
    attempt: int


@dataclass(frozen=True)
class Lost:
    """A unit that took its worker down `attempt` times (killed, out of memory, its node gone)."""

    unit: str
    reason: str
    attempt: int


def first_line(error: BaseException) -> str:
    """What an error says, without the pages that Ray adds."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


class UnitError(Exception):
    """A bug met at a unit: raised after everything in flight has come home. The message holds the traceback."""

    def __init__(self, unit: str, traceback: str):
        super().__init__(f"while analysing {unit}:\n{traceback}")
        self.unit = unit
