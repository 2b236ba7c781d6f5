"""The command line under test: in this process, or as a process of its own with a home of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from click.testing import CliRunner, Result

from scalecurv.cli.main import main

ROOT = Path(__file__).parents[1]
SERIAL = ("--engine", "serial", "--threads", "1")
CHEAP = ("--measure", "gradient")
HANG = 1800  # seconds, beyond what any machine takes: it only ends what would never end


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="scalecurv")


def analyze(*arguments: object) -> Result:
    """`scalecurv analyze` in a loop, the gradient alone unless another measure is asked for."""
    return invoke("analyze", *arguments, *(() if "--measure" in arguments else CHEAP), *SERIAL)


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
STORED = re.compile(STAMP + r"(\d+/\d+ \w+ .+?) \d+\.\d\d s(?:, (?:\d+ days?, )?\d+:\d\d:\d\d left)?")


def untimed(line: str) -> str:
    """A line of progress without its times, "3/24 ok runs/a/step_2.pt"; any other line as it is."""
    match = STORED.fullmatch(line)
    return match[1] if match else line


def untimed_lines(text: str) -> list[str]:
    return [untimed(line) for line in text.splitlines()]


NICE = {"RAY_worker_niceness": "0"}


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of this process but the search path, so that no cluster or token of it is inherited."""
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **NICE}
    return {"PATH": os.environ["PATH"], **own, **more}


def start(words: Sequence[object], home: Path, **more: str) -> "subprocess.Popen[str]":
    """A process in a group of its own, as a shell starts one."""
    return subprocess.Popen(
        [str(word) for word in words],
        env=environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start_scalecurv(*arguments: object, home: Path, **more: str) -> "subprocess.Popen[str]":
    return start([sys.executable, "-m", "scalecurv", *arguments], home, **more)


def read_until(process: "subprocess.Popen[str]", word: str) -> list[str]:
    """The lines of its stderr up to the first that starts with `word`, without times."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(untimed(line.rstrip("\n")))
        if lines[-1].startswith(word):
            return lines
    raise AssertionError(f"it ended before it said {word!r}: {lines}")


def wait_for(condition: Callable[[], bool], seconds: float = HANG) -> bool:
    """Whether it comes true before nobody would wait any more."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def deadline(seconds: int = HANG) -> Iterator[None]:
    """TimeoutError instead of a test that never ends."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def processes_of(home: Path) -> list[int]:
    """Processes that run under this home: a test's own, and what they started."""
    mark = f"HOME={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_processes_of(home: Path) -> None:
    for pid in processes_of(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
