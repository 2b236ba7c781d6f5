"""Processes under fire: each with a home of its own, found by it, and none left behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
POLL = 0.05  # seconds between two looks
STALL = 120.0  # seconds without a word after which a sweep hangs: ten times its start-up


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment that inherits only the search path, hence no cluster or token."""
    temporary = home / "t"  # sockets below Ray's folder have names of at most 107 bytes
    temporary.mkdir(parents=True, exist_ok=True)
    own = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    return {"PATH": os.environ["PATH"], "RAY_TMPDIR": str(temporary), "RAY_USAGE_STATS_ENABLED": "0", **own, **more}


def processes_of(home: Path) -> list[int]:
    """Return the processes that run under this home or one below it."""
    mark = f"HOME={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "environ").read_bytes().split(b"\0")
            if any(word == mark or word.startswith(mark + b"/") for word in words):
                found.append(int(entry.name))
    return found


def words_of(pid: int) -> list[str]:
    """Return the command line of a process, or its title; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def workers_of(home: Path) -> list[int]:
    """Return the actors of a sweep, those that compute and those that still start."""
    return sorted(pid for pid in processes_of(home) if words_of(pid)[:1] and words_of(pid)[0].startswith("ray::_Actor"))


def kill(pid: int) -> bool:
    """Send SIGKILL; return False if the process was gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def end_processes_of(home: Path, seconds: float = 10.0) -> None:
    """Kill all processes of this home, and those that they start meanwhile."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(home)) and time.monotonic() < deadline:
        for pid in left:
            kill(pid)
        time.sleep(POLL)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return True as soon as the condition holds, False when time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def acknowledged_in(text: str) -> set[str]:
    """Return the checkpoints that `analyze` reported as stored, by complete lines."""
    return set(re.findall(r"^\S+ \S+ \d+/\d+ ok (.+?) \d+\.\d\d s(?:, .+ left)?\n", text, re.MULTILINE))


class Spoken:
    """A process in a group of its own whose output goes to a file: a pipe that nobody reads would stop it."""

    def __init__(self, words: Sequence[object], home: Path, **more: str):
        env = environment(home, **more)
        self._file = home / f"said-{time.monotonic_ns()}.txt"
        with open(self._file, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in words],
                env=env,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self._file.read_text(errors="replace")

    def running(self) -> bool:
        return self.process.poll() is None

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stalled(self) -> bool:
        """Return True where it has been silent for longer than any start-up takes."""
        return time.time() - self._file.stat().st_mtime > STALL

    def end(self, seconds: float = 10.0) -> None:
        """Send SIGTERM, then SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                return
