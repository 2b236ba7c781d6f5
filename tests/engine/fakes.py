"""Analysts that misbehave by the name of the unit; every attempt and every worker leaves a file to be counted."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalecurv.engine.unit import Analyst


@dataclass(frozen=True)
class Scripted:
    """`stillborn` workers die while they start; units do what the first word of their name says."""

    folder: Path
    stillborn: int = 0

    def on(self, device: str, threads: int) -> Callable[[str], str]:
        nth = _count(self.folder, "worker")
        (self.folder / f"pid.{nth}").write_text(str(os.getpid()))
        (self.folder / "told").write_text(f"{device} {threads}")
        if nth <= self.stillborn:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._analyse

    def _analyse(self, unit: str) -> str:
        attempt = _count(self.folder, unit)
        match unit.partition("-")[0]:
            case "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            case "once" if attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                raise MemoryError("no room for a basis")
            case "hungry" if attempt == 1:
                raise MemoryError("no room yet")
            case "bug":
                self._await("slow")
                raise ZeroDivisionError("the bug itself")
            case "slow":
                self._await("bug")
                time.sleep(0.7)
            case "crash":
                raise ZeroDivisionError("the bug itself")
            case "endless":
                time.sleep(600)
        return f"{unit} analysed"

    def _await(self, unit: str) -> None:
        while not attempts(self.folder, unit):
            time.sleep(0.02)

    @property
    def pids(self) -> list[int]:
        """Of every worker that was started."""
        return [int(path.read_text()) for path in self.folder.glob("pid.*")]


@dataclass(frozen=True)
class DiesOnce:
    """A true analyst whose worker is killed at the first attempt at the unit that ends in `name`."""

    analyst: Analyst
    folder: Path
    name: str

    def on(self, device: str, threads: int) -> Callable[[str], Any]:
        analyse = self.analyst.on(device, threads)

        def run(unit: str) -> Any:
            if _count(self.folder, Path(unit).name) == 1 and unit.endswith(self.name):
                os.kill(os.getpid(), signal.SIGKILL)
            return analyse(unit)

        return run


def attempts(folder: Path, unit: str) -> int:
    return len(list(folder.glob(f"{unit}.attempt*")))


def _count(folder: Path, name: str) -> int:
    """1 for whoever comes first, in whatever process."""
    for nth in range(1, 1000):
        try:
            (folder / f"{name}.attempt{nth}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return nth
    raise AssertionError(f"{name} was tried a thousand times")
