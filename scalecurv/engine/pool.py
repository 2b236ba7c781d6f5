"""A ready-gated pool of Ray actors: work goes only to a worker known to be alive, attempts are counted here."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, Lost, UnitError
from scalecurv.engine.unit import Analyst
from scalecurv.errors import Misuse

MAX_FAILED_STARTS = 3  # in a row, before any worker became ready


@dataclass(frozen=True)
class Workers:
    """How many actors, and what each is given: CPU threads and a share of GPUs."""

    count: int
    threads: int = 1
    gpus: float = 0.0


class _Worker:
    """The actor's side: built empty, so that a worker that cannot start fails in ready() with its traceback."""

    def ready(self, analyst: Analyst, threads: int, gpus: float) -> bool:
        self._analyse = analyst.on("cuda:0" if gpus else "cpu", threads)
        return True

    def run(self, unit: str) -> Any:
        return self._analyse(unit)


class Pool:
    """Units over actors. A dead actor is replaced, never restarted: `ready` gates every one of them.

    Ray's own retries are off (an actor that restarts at once would burn a unit's attempts while its node is
    gone, and out-of-memory kills are retried without end): a unit has at most 3 attempts, counted here.
    """

    def __init__(self, ray: Any, analyst: Analyst, workers: Workers):
        self._ray = ray
        self._workers = workers
        self._analyst = ray.put(analyst)
        self._actor = ray.remote(_Worker).options(
            num_cpus=workers.threads, num_gpus=workers.gpus, max_restarts=0, max_task_retries=0
        )
        self._booting: dict[Any, Any] = {}  # ref of ready() -> actor
        self._flying: dict[Any, tuple[Any, str, int]] = {}  # ref of run() -> actor, unit, attempt
        self._idle: list[Any] = []
        self._failed_starts = 0

    def run(self, units: Sequence[str]) -> Iterator[Done | Lost]:
        """Results as they come; a bug stops new work, and is raised once everything in flight is home."""
        queue = deque((unit, 1) for unit in units)
        bug: UnitError | None = None
        try:
            for _ in range(min(self._workers.count, len(queue))):
                self._boot()
            while queue or self._flying:
                while self._idle and queue:
                    actor, (unit, attempt) = self._idle.pop(), queue.popleft()
                    self._flying[actor.run.remote(unit)] = (actor, unit, attempt)
                arrived, _ = self._ray.wait([*self._flying, *self._booting], num_returns=1)
                for ref in arrived:
                    if ref in self._booting:
                        self._settle_boot(ref)
                        continue
                    try:
                        news = self._settle_unit(ref, queue)
                    except UnitError as error:
                        bug = bug or error
                        queue.clear()
                        continue
                    if news is not None:
                        yield news
        finally:
            for actor in [*self._booting.values(), *self._idle, *(actor for actor, _, _ in self._flying.values())]:
                self._ray.kill(actor)
        if bug is not None:
            raise bug

    def _boot(self) -> None:
        actor = self._actor.remote()
        self._booting[actor.ready.remote(self._analyst, self._workers.threads, self._workers.gpus)] = actor

    def _settle_boot(self, ref: Any) -> None:
        actor = self._booting.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise Misuse(
                    f"{MAX_FAILED_STARTS} workers in a row died while starting ({_line(error)}); "
                    f"give fewer --workers, or more memory"
                ) from error
            self._boot()
            return
        self._failed_starts = 0
        self._idle.append(actor)

    def _settle_unit(self, ref: Any, queue: deque[tuple[str, int]]) -> Done | Lost | None:
        """The news of one unit; None if it goes back to the queue."""
        actor, unit, attempt = self._flying.pop(ref)
        exceptions = self._ray.exceptions
        try:
            result = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            self._idle.append(actor)
            if not isinstance(error.cause, MemoryError):
                raise UnitError(unit, str(error)) from error
            reason = f"out of memory: {error.cause}"
        except (exceptions.RayActorError, exceptions.OutOfMemoryError, exceptions.ObjectLostError) as error:
            reason = f"its worker died: {_line(error)}"
            self._boot()
        else:
            self._idle.append(actor)
            return Done(unit, result, attempt)
        if attempt == MAX_ATTEMPTS:
            return Lost(unit, f"{reason} ({attempt} attempts)", attempt)
        queue.append((unit, attempt + 1))
        return None


def _line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
