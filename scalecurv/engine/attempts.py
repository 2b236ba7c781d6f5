"""The results of analysing a checkpoint on some worker: done, given up, or stopped by a bug."""

from dataclasses import dataclass, field
from typing import Any

from scalecurv.errors import Misuse

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Done:
    """The result for the checkpoint at `path`, the number of the attempt that gave it, and the engine it ran on."""

    path: str
    result: Any
    attempt: int
    engine: str = field(default="", compare=False)


@dataclass(frozen=True)
class GivenUp:
    """A checkpoint whose analysis ended its worker `attempt` times (killed, out of memory, node lost)."""

    path: str
    reason: str
    attempt: int
    engine: str = field(default="", compare=False)


class UnexpectedError(Exception):
    """A bug met at one checkpoint, raised after all running work has ended. The message holds the traceback."""

    def __init__(self, path: str, traceback: str):
        super().__init__(f"while analysing {path}:\n{traceback}")
        self.path = path


def check_readable(ray: Any, error: Any) -> None:
    """Raise Misuse where an actor failed because it could not read its arguments.

    They hold measures of one's own, whose modules it must be able to import.
    """
    if isinstance(error.cause, ray.exceptions.RaySystemError):
        reason = next(line.strip() for line in reversed(str(error.cause).splitlines()) if line.strip())
        raise Misuse(
            f"a worker cannot read its work ({reason}); install the modules of your own measures on every node, or put "
            f"them on PYTHONPATH there"
        ) from error
