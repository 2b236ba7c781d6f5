"""Analysts that misbehave by the name of the unit; every attempt and every worker leaves a file to be counted."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalecurv.engine.worker import Analyst

HEARD = "heard"  # no unit, but waited for as one


@dataclass(frozen=True)
class Scripted:
    """`stillborn` workers die while they start; units do what the first word of their name says."""

    folder: Path
    stillborn: int = 0

    def on(self, device: str, threads: int, shard: Any = None) -> Callable[[str], str]:
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
                self._await(HEARD)
            case "crash":
                raise ZeroDivisionError("the bug itself")
            case "endless":
                time.sleep(7200)
        return f"{unit} analysed"

    def _await(self, unit: str) -> None:
        while not attempts(self.folder, unit):
            time.sleep(0.02)

    def hear(self) -> None:
        """Let `slow` go on: whoever runs the units knows of the bug."""
        _count(self.folder, HEARD)

    @property
    def pids(self) -> list[int]:
        """Of every worker that was started."""
        return [int(path.read_text()) for path in self.folder.glob("pid.*")]


@dataclass(frozen=True)
class DiesOnce:
    """A true analyst whose worker is killed at the first attempt at the unit that ends in `name`, if it is `rank`.

    `bug` ends the name of a unit that cannot be analysed.
    """

    analyst: Analyst
    folder: Path
    name: str
    rank: int | None = None
    bug: str = "never"

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "analyst"), name)

    def on(self, device: str, threads: int, shard: Any = None) -> Callable[..., Any]:
        analyse = self.analyst.on(device, threads, shard)
        mine = shard is None or shard.rank == self.rank

        def run(unit: str, *crew: Any) -> Any:
            if mine and unit.endswith(self.name) and _count(self.folder, Path(unit).name) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if unit.endswith(self.bug):
                raise ZeroDivisionError("the bug itself")
            return analyse(unit, *crew)

        return run


@dataclass(frozen=True)
class HelperDies:
    """A true analyst that notes who helps, and with how many blocks; a helper is killed when it is asked again."""

    analyst: Analyst
    folder: Path

    def on(self, device: str, threads: int) -> Any:
        desk = self.analyst.on(device, threads)
        rows = desk.rows

        def counted(point: Any, make: Any, terms: Any, seed: int, blocks: Sequence[range]) -> Any:
            nth = _count(self.folder, "help")
            (self.folder / f"blocks.{nth}").write_text(f"{os.getpid()} {len(blocks)}")
            if nth == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return rows(point, make, terms, seed, blocks)

        desk.rows = counted  # type: ignore[method-assign]
        return desk


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
