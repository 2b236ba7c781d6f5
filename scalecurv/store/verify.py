"""The check of every file of a store in a child process with a time limit: HDF5 can crash or loop on foreign files."""

import json
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scalecurv.errors import StoreError
from scalecurv.store.reader import FORGOTTEN, FORMER, INDEX, check_store, parts_of
from scalecurv.store.writer import PARTS

SECONDS = 60.0
START = 120.0  # seconds that Python may take to start


@dataclass(frozen=True)
class Verdict:
    """A file of a store with its problems, none where it is whole."""

    path: Path
    problems: tuple[str, ...] = ()


def verify(store: Path, seconds: float = SECONDS) -> Iterator[Verdict]:
    """Yield a verdict on every part, index and forgotten file; raises Misuse where there is no store.

    A file that crashes the child process, or takes longer than `seconds`, gets a verdict that says so.
    """
    check_store(store)
    indexes = (path for name in (INDEX, FORMER) if (path := store / name).exists())
    files = [*parts_of(store), *indexes, *sorted((store / FORGOTTEN).glob("*.h5"))]
    child: _Child | None = None
    try:
        for path in files:
            child = child or _Child()
            problems = child.problems_of(path, seconds)
            if problems is None:
                child = None
                problems = [f"{path} cannot be opened: HDF5 crashed on it, or took longer than {seconds:g} s"]
            yield Verdict(path, tuple(problems))
    finally:
        if child:
            child.end()


def set_aside_files(store: Path) -> list[Path]:
    """Return the broken files that were set aside earlier: their work was done again, and they may be deleted."""
    return sorted([*store.glob("*.broken"), *(store / PARTS).glob("*.broken")])


class _Child:
    """A process that is given files one at a time, and answers with what is wrong with each."""

    def __init__(self) -> None:
        command = [
            sys.executable,
            "-P",
            "-m",
            "scalecurv.store.inspection",
        ]  # -P: import nothing from the current directory
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._answer(START) is None:
            raise StoreError(f"the process that opens files did not start: {' '.join(command)}")

    def problems_of(self, path: Path, seconds: float) -> list[str] | None:
        """Return what is wrong with one file, None where there was no answer in time: the child has ended then."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(str(path)) + "\n")
            self._process.stdin.flush()
        return self._answer(seconds)

    def _answer(self, seconds: float) -> list[str] | None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            answered = selector.select(seconds)
        line = self._process.stdout.readline() if answered else ""
        if not line:
            self.end()
            return None
        return list(json.loads(line))

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
