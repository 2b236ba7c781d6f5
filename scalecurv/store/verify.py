"""Every file of a store opened in a child process with a time limit: HDF5 can crash, or loop, on files of strangers."""

import json
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scalecurv.errors import StoreError
from scalecurv.store.reader import FORMER, INDEX, check_store, parts_of
from scalecurv.store.writer import PARTS

SECONDS = 60.0
START = 120.0  # seconds that Python may take to start


@dataclass(frozen=True)
class Verdict:
    """A file of a store and what is wrong with it, nothing for most."""

    path: Path
    problems: tuple[str, ...] = ()


def verify(store: Path, seconds: float = SECONDS) -> Iterator[Verdict]:
    """A verdict on every part and index, as it comes; raises Misuse where there is no store.

    A file that takes the child down, or longer than `seconds`, is one of the verdicts.
    """
    check_store(store)
    files = [*parts_of(store), *(path for name in (INDEX, FORMER) if (path := store / name).exists())]
    child: _Child | None = None
    try:
        for path in files:
            child = child or _Child()
            problems = child.ask(path, seconds)
            if problems is None:
                child = None
                problems = [f"{path} cannot be opened: HDF5 crashed on it, or took longer than {seconds:g} s"]
            yield Verdict(path, tuple(problems))
    finally:
        if child:
            child.end()


def set_aside_files(store: Path) -> list[Path]:
    """Broken files that were set aside earlier: what was in them is done again, and they may be deleted."""
    return sorted([*store.glob("*.broken"), *(store / PARTS).glob("*.broken")])


class _Child:
    """A process that answers with what is wrong with the files it is given, one at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "scalecurv.store.inspection"]  # -P: no code from where we stand
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._answer(START) is None:
            raise StoreError(f"the process that opens files did not start: {' '.join(command)}")

    def ask(self, path: Path, seconds: float) -> list[str] | None:
        """What is wrong with one file, None where there was no answer: then the child is gone."""
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
