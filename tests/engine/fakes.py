"""Workers that misbehave by the name of the checkpoint; every attempt and every worker leaves a file to be counted."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # without torch a scripted worker starts at once
    from scalecurv.engine.worker import Worker

HEARD = "heard"  # no checkpoint, waited for like one


@dataclass(frozen=True)
class Scripted:
    """`stillborn` workers die while they start; a checkpoint does what the first word of its name says."""

    folder: Path
    stillborn: int = 0

    def on(self, device: str, threads: int, shard: Any = None, why: str = "") -> Callable[[str], str]:
        nth = _count(self.folder, "worker")
        (self.folder / f"pid.{nth}").write_text(str(os.getpid()))
        (self.folder / "told").write_text(f"{device} {threads}")
        if nth <= self.stillborn:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._analyse

    def _analyse(self, path: str) -> str:
        attempt = _count(self.folder, path)
        match path.partition("-")[0]:
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
        return f"{path} analysed"

    def _await(self, path: str) -> None:
        while not attempts(self.folder, path):
            time.sleep(0.02)

    def hear(self) -> None:
        """Let `slow` go on: the caller knows of the bug."""
        _count(self.folder, HEARD)

    @property
    def pids(self) -> list[int]:
        """Return the process ids of all workers that were started."""
        return [int(path.read_text()) for path in self.folder.glob("pid.*")]


@dataclass(frozen=True)
class DiesOnce:
    """A true worker that is killed at the first attempt at the path that ends in `name`, if it is `rank`.

    `bug` ends the name of a path that cannot be analysed.
    """

    worker: "Worker"
    folder: Path
    name: str
    rank: int | None = None
    bug: str = "never"

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "worker"), name)

    def on(self, device: str, threads: int, shard: Any = None) -> Callable[..., Any]:
        analyse = self.worker.on(device, threads, shard)
        mine = shard is None or shard.rank == self.rank

        def run(path: str, *shared: Any, **told: Any) -> Any:
            if mine and path.endswith(self.name) and _count(self.folder, Path(path).name) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if path.endswith(self.bug):
                raise ZeroDivisionError("the bug itself")
            return analyse(path, *shared, **told)

        return run


@dataclass(frozen=True)
class HelperDies:
    """A true worker that notes who helps, and with how many blocks; a helper is killed when it is asked again."""

    worker: "Worker"
    folder: Path

    def on(self, device: str, threads: int) -> "HelperDies":
        return HelperDies(self.worker.on(device, threads), self.folder)

    def cost(self, *given: Any) -> Any:
        return self.worker.cost(*given)

    def __call__(self, *work: Any, **told: Any) -> Any:
        return self.worker(*work, **told)

    def rows(self, point: Any, make: Any, terms: Any, seed: int, blocks: Sequence[range]) -> Any:
        nth = _count(self.folder, "help")
        (self.folder / f"blocks.{nth}").write_text(f"{os.getpid()} {len(blocks)}")
        if nth == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.worker.rows(point, make, terms, seed, blocks)


def attempts(folder: Path, path: str) -> int:
    return len(list(folder.glob(f"{path}.attempt*")))


def _count(folder: Path, name: str) -> int:
    """1 for whoever comes first, in whatever process."""
    for nth in range(1, 1000):
        try:
            (folder / f"{name}.attempt{nth}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return nth
    raise AssertionError(f"{name} was tried a thousand times")


@dataclass(frozen=True)
class WaitsToBeHeard:
    """A true worker whose first checkpoint ends once the driver has heard of a measure: `heard` makes that file."""

    worker: "Worker"
    folder: Path

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "worker"), name)

    def on(self, device: str, threads: int, shard: Any = None) -> Callable[..., Any]:
        analyse = self.worker.on(device, threads, shard)

        def run(path: str, *shared: Any, **told: Any) -> Any:
            outcome = analyse(path, *shared, **told)
            while not (self.folder / HEARD).exists():
                time.sleep(0.02)
            return outcome

        return run
