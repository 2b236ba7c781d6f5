"""A ready-gated pool of Ray actors: work goes only to a worker known to be alive, attempts are counted here."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, Lost, UnitError, first_line
from scalecurv.engine.shared_probes import Crew
from scalecurv.engine.worker import Analyst
from scalecurv.engine.workers import Workers, nodes_of
from scalecurv.errors import ClusterError, Misuse

MAX_FAILED_STARTS = 3  # before any worker became ready
LOOK = 0.2  # seconds that one wait may take, so that Ctrl-C is heard
COUNT_EVERY = 2.0  # seconds between two looks at what the cluster has room for
GATHER = 15.0  # seconds that a unit which may be split waits for those who would help
REST = 1.0  # seconds after a failed start in which no other is tried
PATIENCE = 60.0  # seconds without any node that could hold a worker


class _Worker:
    """The actor's side: built empty, so that a worker that cannot start fails in ready() with its traceback."""

    def ready(self, analyst: Analyst, threads: int, gpus: float) -> bool:
        self._desk = analyst.on("cuda:0" if gpus else "cpu", threads)
        return True

    def alive(self) -> bool:
        return True

    def run(self, unit: str, helpers: Sequence[Any]) -> Any:
        import ray

        return self._desk(unit, Crew(ray, helpers)) if helpers else self._desk(unit)

    def rows(self, point: Any, work: Any, seed: int, blocks: Sequence[range]) -> Any:
        make, terms = work
        return self._desk.rows(point, make, terms, seed, blocks)


@dataclass(frozen=True)
class _Flight:
    """A unit on its way: who leads it, and who helps."""

    unit: str
    attempt: int
    lead: Any
    helpers: tuple[Any, ...] = ()


class Pool:
    """Units over actors. A dead actor is replaced, never restarted: `ready` gates every one of them.

    Ray's own retries are off (an actor that restarts at once would burn a unit's attempts while its node is
    gone, and out-of-memory kills are retried without end): a unit has at most 3 attempts, counted here. Nodes
    that join late are given workers. A unit may have a crew: one leads, the others help with its probes.
    """

    def __init__(self, ray: Any, analyst: Analyst, workers: Workers):
        self._ray = ray
        self._workers = workers
        self._analyst = ray.put(analyst)
        self._actor = ray.remote(_Worker).options(
            num_cpus=workers.threads, num_gpus=workers.gpus, max_restarts=0, max_task_retries=0
        )
        self._booting: dict[Any, Any] = {}  # ref of ready() -> actor
        self._checked: dict[Any, Any] = {}  # ref of alive() -> one that has helped
        self._flying: dict[Any, _Flight] = {}  # ref of run() -> what it does
        self._idle: list[Any] = []
        self._ever, self._failed_starts, self._rest_until = False, 0, 0.0
        self._lived = self._gathered = self._counted = self._fitted = time.monotonic()
        self._room = 0

    def run(self, units: Sequence[str]) -> Iterator[Done | Lost]:
        """Results as they come; a bug stops new work, and is raised once everything in flight is home."""
        queue = deque((unit, 1) for unit in units)
        bug: UnitError | None = None
        try:
            self._count()
            while queue or self._flying:
                self._grow(len(queue))
                self._launch(queue)
                for ref in self._arrived():
                    if ref in self._booting or ref in self._checked:
                        self._settle_worker(ref)
                        continue
                    try:
                        news = self._settle_unit(ref, queue)
                    except UnitError as error:
                        bug = bug or error
                        queue.clear()
                        continue
                    if bug is not None:
                        queue.clear()  # nothing new, not even what died meanwhile
                    if news is not None:
                        yield news
        finally:
            flying = [actor for flight in self._flying.values() for actor in (flight.lead, *flight.helpers)]
            for actor in {*self._booting.values(), *self._checked.values(), *self._idle, *flying}:
                self._ray.kill(actor)
        if bug is not None:
            raise bug

    def _arrived(self) -> list[Any]:
        """What has news, soon: an empty list lets Ctrl-C be heard, and new nodes be seen."""
        awaited = [*self._flying, *self._booting, *self._checked]
        if not awaited:  # no node has room
            time.sleep(LOOK)
            return []
        arrived, _ = self._ray.wait(awaited, num_returns=1, timeout=LOOK)
        return list(arrived)

    def _count(self) -> None:
        """What the cluster has room for now; raises ClusterError where for a minute that was nothing."""
        self._room = self._workers.fit(nodes_of(self._ray))
        self._counted = time.monotonic()
        if self._room or self._flying:
            self._fitted = self._counted
        elif self._counted - self._fitted > PATIENCE:
            raise ClusterError(
                f"no node that is left has {self._workers.threads} CPU(s) and {self._workers.gpus:g} GPU(s) for a "
                f"worker; add one and run the same again"
            )

    def _grow(self, waiting: int) -> None:
        """Start workers that there is room and work for."""
        if self._flying or self._idle:
            self._lived = time.monotonic()
        if time.monotonic() - self._counted > COUNT_EVERY:
            self._count()
        busy = sum(1 + len(flight.helpers) for flight in self._flying.values())
        there = busy + len(self._idle) + len(self._booting) + len(self._checked)
        wanted = min(self._room, busy + waiting * self._workers.crew)
        for _ in range(wanted - there if waiting and time.monotonic() >= self._rest_until else 0):
            self._boot()

    def _launch(self, queue: deque[tuple[str, int]]) -> None:
        """Give each waiting unit an idle worker to lead it, and as many to help as its crew may have."""
        crew = self._workers.crew
        starting = self._booting and time.monotonic() - self._gathered < GATHER
        if crew > 1 and not self._flying and (starting or self._checked):
            return
        while self._idle and queue:
            unit, attempt = queue.popleft()
            lead, *helpers = (self._idle.pop() for _ in range(min(crew, len(self._idle))))
            self._flying[lead.run.remote(unit, helpers)] = _Flight(unit, attempt, lead, tuple(helpers))

    def _boot(self) -> None:
        self._gathered = time.monotonic()
        actor = self._actor.remote()
        self._booting[actor.ready.remote(self._analyst, self._workers.threads, self._workers.gpus)] = actor

    def _settle_worker(self, ref: Any) -> None:
        """One that started, or has helped: idle now, or dead."""
        starting = ref in self._booting
        actor = self._booting.pop(ref) if starting else self._checked.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            if isinstance(error, self._ray.exceptions.RayTaskError) and not isinstance(error.cause, MemoryError):
                raise
            if not starting:
                return
            self._failed_starts += 1
            self._rest_until = time.monotonic() + REST  # its node may be dead, and Ray not know it yet
            if not self._ever and self._failed_starts >= MAX_FAILED_STARTS:
                raise Misuse(
                    f"{MAX_FAILED_STARTS} workers in a row died while starting ({first_line(error)}); "
                    f"give fewer --workers, or more memory"
                ) from error
            if time.monotonic() - self._lived > 2 * PATIENCE:
                raise ClusterError(
                    f"no worker could be started for {2 * PATIENCE:g} s ({first_line(error)}); look at the cluster and "
                    f"run the same again"
                ) from error
            return
        self._ever, self._failed_starts = True, 0
        self._idle.append(actor)

    def _settle_unit(self, ref: Any, queue: deque[tuple[str, int]]) -> Done | Lost | None:
        """The news of one unit; None if it goes back to the queue."""
        flight = self._flying.pop(ref)
        for helper in flight.helpers:  # one that died meanwhile fails here, not in a unit's name
            self._checked[helper.alive.remote()] = helper
        exceptions = self._ray.exceptions
        try:
            result = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            self._idle.append(flight.lead)
            if not isinstance(error.cause, MemoryError):
                raise UnitError(flight.unit, str(error)) from error
            reason = f"out of memory: {error.cause}"
        except exceptions.RayError as error:  # killed, out of memory, its node or what it sent lost
            reason = f"its worker died: {first_line(error)}"
        else:
            self._idle.append(flight.lead)
            return Done(flight.unit, result, flight.attempt)
        if flight.attempt == MAX_ATTEMPTS:
            return Lost(flight.unit, f"{reason} ({flight.attempt} attempts)", flight.attempt)
        queue.append((flight.unit, flight.attempt + 1))
        return None
