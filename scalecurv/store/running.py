"""The progress of a sweep in a small file beside the parts of a store, which its writer replaces and removes."""

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from scalecurv.record import Stage
from scalecurv.store.writer import PARTS, temporary_beside

PATTERN = "running-*.json"
SILENCE = 60.0  # seconds without a new file after which a sweep is not believed to run
LAG = 120.0  # the same for another machine, whose clock and file system may lag behind
OLD = 86400.0  # seconds after which a file of another machine is removed by the next sweep
LARGEST = 2**24  # bytes of a file
MOST = 1e10  # of any number in it: seconds, products


class Life(StrEnum):
    """The state of a sweep as others can tell it: it runs, it ended without a word, or it has been silent for long."""

    RUNS = "runs"
    ENDED = "ended"
    SILENT = "silent"


@dataclass(frozen=True)
class Running:
    """A sweep at the moment `written`, both in seconds since 1970 as its machine counts them.

    `done` of `total` checkpoints are stored, `failed` of them without numbers; `seconds` is the time since work began,
    and `stored_seconds` the time from there to the last checkpoint that was stored. `products_per_second` is over the
    last minute. `follows` is True where it waits for checkpoints to come.
    """

    host: str
    pid: int
    written: float
    seconds: float
    total: int
    done: int
    failed: int
    stored_seconds: float = 0.0
    products_per_second: float = 0.0
    follows: bool = False
    stages: tuple[Stage, ...] = ()

    @property
    def left(self) -> float | None:
        """Return the seconds that are left if checkpoints go on to come as fast.

        None before the first has come, and where all that are left are under way and take longer than those before.
        """
        if not self.done or self.done >= self.total:
            return None
        each, waiting = self.stored_seconds / self.done, max(self.total - self.done - max(len(self.stages), 1), 0)
        left = max(each * (self.total - self.done) - (self.seconds - self.stored_seconds), each * waiting)
        return left or None

    def life(self, now: float | None = None) -> Life:
        """Return whether the sweep still runs, asked on this machine at `now`, in seconds since 1970."""
        age = (time.time() if now is None else now) - self.written
        if self.host != socket.gethostname():
            return Life.RUNS if age <= LAG else Life.SILENT
        if not _is_there(self.pid):
            return Life.ENDED
        return Life.RUNS if age <= SILENCE else Life.SILENT


class RunningFile:
    """The file of one sweep. A disk that is full or read-only is never felt: nothing rests on this file."""

    def __init__(self, store: Path):
        self._path = store / PATTERN.replace("*", f"{os.getpid()}-{secrets.token_hex(4)}")

    def write(self, running: Running) -> None:
        """Replace the file; a folder that is no store yet is left as it is."""
        if not (self._path.parent / PARTS).is_dir():
            return
        temporary = temporary_beside(self._path)
        with suppress(OSError):
            try:
                temporary.write_text(json.dumps(asdict(running)))
                os.replace(temporary, self._path)
            finally:
                temporary.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def running_sweeps(store: Path) -> list[Running]:
    """Return the sweeps that have a file in a store, the one that was written last first, whether they run or not."""
    found = [running for path in store.glob(PATTERN) if (running := _read(path)) is not None]
    return sorted(found, key=lambda running: running.written, reverse=True)


def remove_ended(store: Path) -> None:
    """Remove the files of sweeps of this machine that were killed, and those of any machine that are a day old."""
    for path in store.glob(PATTERN):
        running = _read(path)
        if running is None:
            continue
        if running.life() is Life.ENDED or time.time() - running.written > OLD:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _read(path: Path) -> Running | None:
    """Return the content of a file; None where it is gone, or is not what this release writes."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:  # nobody waits for a pipe
            return None
        content = json.loads(path.read_text())
        stages = tuple(Stage(**_known(Stage, stage)) for stage in content["stages"])
        return Running(**{**_known(Running, content), "stages": stages})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _known(kind: Any, content: dict[str, Any]) -> dict[str, Any]:
    """Return the entries that are fields of `kind`: a newer release may write more. Raises ValueError for others."""
    types = {field.name: field.type for field in fields(kind) if field.name != "stages"}
    return {name: _sound(value, types[name]) for name, value in content.items() if name in types}


def _sound(value: Any, kind: Any) -> Any:
    """Return an entry of a file; raises ValueError where it is not of its type, or is no number that can be."""
    number = kind in (int, float) and not isinstance(value, bool) and abs(value) <= MOST
    if not (number and isinstance(value, (int, kind))) and not (kind in (str, bool) and isinstance(value, kind)):
        raise ValueError(f"{value!r} is no {kind}")
    return value


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True
