"""A pool of Ray actors: work goes only to a worker that has answered, and attempts are counted here."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, GivenUp, UnexpectedError, check_readable
from scalecurv.engine.board import Board, Post
from scalecurv.engine.worker_spec import WorkerSpec, nodes_of
from scalecurv.errors import ClusterError, Misuse, first_line
from scalecurv.record import Stage, Tell
from scalecurv.user_code import search_here

if TYPE_CHECKING:  # an actor imports torch with the worker that it is given
    from scalecurv.engine.worker import Worker

MAX_FAILED_STARTS = 3  # before any worker became ready
LOOK = 0.2  # seconds that one wait may take, so that Ctrl-C is heard
COUNT_EVERY = 2.0  # seconds between two looks at what the cluster has room for
GATHER = 15.0  # seconds that a checkpoint whose probes may be shared waits for helpers to start
REST = 1.0  # seconds after a failed start in which no other is tried
PATIENCE = 60.0  # seconds without any node that could hold a worker


class _Actor:
    """The code that runs in an actor.

    It is built empty, so that a worker that cannot start fails in ready(), with its traceback.
    """

    def __init__(self) -> None:
        search_here()  # before a worker arrives, whose measures may be classes of the current directory

    def ready(self, worker: "Worker", threads: int, gpus: float) -> bool:
        self._worker = worker.on("cuda:0" if gpus else "cpu", threads)
        return True

    def alive(self) -> bool:
        return True

    def run(self, path: str, helpers: Sequence[Any], post: Post | None = None) -> Any:
        analyse = self._worker if post is None else partial(self._worker, tell=post)
        if not helpers:
            return analyse(path)
        import ray

        from scalecurv.engine.shared_probes import SharedProbes

        return analyse(path, SharedProbes(ray, helpers))

    def rows(self, point: Any, work: Any, seed: int, blocks: Sequence[range]) -> Any:
        make, terms = work
        return self._worker.rows(point, make, terms, seed, blocks)


@dataclass(frozen=True)
class _Running:
    """A checkpoint under analysis: the attempt, the actor that leads it, and those that help."""

    path: str
    attempt: int
    lead: Any
    helpers: tuple[Any, ...] = ()


class Pool:
    """Analyses checkpoints on actors. A dead actor is replaced by a new one, which works once it is `ready`.

    Ray's own retries are off: an actor that restarts at once would use up the attempts of a checkpoint while its node
    is gone, and kills for memory are retried without end. Each checkpoint has at most 3 attempts, counted here. Nodes
    that join late are given workers. Several workers may share the probes of a checkpoint: one leads, the others help.
    `tell` is told what is computed, now and then.
    """

    def __init__(self, ray: Any, worker: "Worker", spec: WorkerSpec, tell: Tell | None = None):
        self._ray = ray
        self._tell = tell
        self._board: Board | None = None
        self._spec = spec
        self._worker = ray.put(worker)
        self._actor = ray.remote(_Actor).options(
            num_cpus=spec.threads, num_gpus=spec.gpus, max_restarts=0, max_task_retries=0
        )
        self._starting: dict[Any, Any] = {}  # ref of ready() -> actor
        self._checked: dict[Any, Any] = {}  # ref of alive() -> actor that has helped
        self._running: dict[Any, _Running] = {}  # by ref of run()
        self._idle: list[Any] = []
        self._any_started, self._failed_starts, self._rest_until = False, 0, 0.0
        self._last_alive = self._last_start = self._last_count = self._last_room = time.monotonic()
        self._room = 0

    def run(self, paths: Sequence[str]) -> Iterator[Done | GivenUp]:
        """Yield results as they come; a bug stops new work, and is raised once all running work has ended."""
        queue = deque((path, 1) for path in paths)
        bug: UnexpectedError | None = None
        try:
            self._count()
            while queue or self._running:
                self._grow(len(queue))
                self._launch(queue)
                if self._board is not None:
                    self._board.look()
                for ref in self._arrived():
                    if ref in self._starting or ref in self._checked:
                        self._settle_worker(ref)
                        continue
                    try:
                        result = self._settle_checkpoint(ref, queue)
                    except UnexpectedError as error:
                        bug = bug or error
                        queue.clear()
                        continue
                    if bug is not None:
                        queue.clear()  # no new work, not even another attempt at a checkpoint whose worker died
                    if result is not None:
                        yield result
        finally:
            busy = [actor for running in self._running.values() for actor in (running.lead, *running.helpers)]
            for actor in {*self._starting.values(), *self._checked.values(), *self._idle, *busy}:
                self._ray.kill(actor)
            if self._board is not None:
                self._board.end()
        if bug is not None:
            raise bug

    def _arrived(self) -> list[Any]:
        """Return the refs that arrive within LOOK; an empty list gives Ctrl-C and new nodes a chance to be noticed."""
        awaited = [*self._running, *self._starting, *self._checked]
        if not awaited:  # no node has room
            time.sleep(LOOK)
            return []
        arrived, _ = self._ray.wait(awaited, num_returns=1, timeout=LOOK)
        return list(arrived)

    def _count(self) -> None:
        """Count the workers that the cluster has room for; raise ClusterError where for PATIENCE there was none."""
        self._room = self._spec.fit(nodes_of(self._ray))
        self._last_count = time.monotonic()
        if self._room or self._running:
            self._last_room = self._last_count
        elif self._last_count - self._last_room > PATIENCE:
            raise ClusterError(
                f"no node that is left has {self._spec.threads} CPU(s) and {self._spec.gpus:g} GPU(s) for a "
                f"worker; add one and run the same again"
            )

    def _grow(self, waiting: int) -> None:
        """Start workers where there is room and work for them."""
        if self._running or self._idle:
            self._last_alive = time.monotonic()
        if time.monotonic() - self._last_count > COUNT_EVERY:
            self._count()
        busy = sum(1 + len(running.helpers) for running in self._running.values())
        there = busy + len(self._idle) + len(self._starting) + len(self._checked)
        wanted = min(self._room, busy + waiting * self._spec.per_checkpoint)
        for _ in range(wanted - there if waiting and time.monotonic() >= self._rest_until else 0):
            self._start()

    def _launch(self, queue: deque[tuple[str, int]]) -> None:
        """Give each waiting checkpoint an idle worker to lead it, and as many helpers as it may have."""
        members = self._spec.per_checkpoint
        starting = self._starting and time.monotonic() - self._last_start < GATHER
        if members > 1 and not self._running and (starting or self._checked):
            return
        while self._idle and queue:
            path, attempt = queue.popleft()
            lead, *helpers = (self._idle.pop() for _ in range(min(members, len(self._idle))))
            told: tuple[Post, ...] = ()
            if self._tell is not None:
                self._board = self._board or Board(
                    self._ray, self._tell
                )  # not before a worker is there: they start first
                told = (self._board.post,)
                self._tell(Stage(path))
            self._running[lead.run.remote(path, helpers, *told)] = _Running(path, attempt, lead, tuple(helpers))

    def _start(self) -> None:
        self._last_start = time.monotonic()
        actor = self._actor.remote()
        self._starting[actor.ready.remote(self._worker, self._spec.threads, self._spec.gpus)] = actor

    def _settle_worker(self, ref: Any) -> None:
        """Count an actor that started, or has helped, as idle or dead; raise Misuse or ClusterError if none starts."""
        starting = ref in self._starting
        actor = self._starting.pop(ref) if starting else self._checked.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            if isinstance(error, self._ray.exceptions.RayTaskError) and not isinstance(error.cause, MemoryError):
                self._ray.kill(actor)
                check_readable(self._ray, error)
                raise
            if not starting:
                return
            self._failed_starts += 1
            self._rest_until = time.monotonic() + REST  # its node may be dead, which Ray may not know yet
            if not self._any_started and self._failed_starts >= MAX_FAILED_STARTS:
                raise Misuse(
                    f"{MAX_FAILED_STARTS} workers in a row died while starting ({first_line(error)}); "
                    f"give fewer --workers, or more memory"
                ) from error
            if time.monotonic() - self._last_alive > 2 * PATIENCE:
                raise ClusterError(
                    f"no worker could be started for {2 * PATIENCE:g} s ({first_line(error)}); look at the cluster and "
                    f"run the same again"
                ) from error
            return
        self._any_started, self._failed_starts = True, 0
        self._idle.append(actor)

    def _settle_checkpoint(self, ref: Any, queue: deque[tuple[str, int]]) -> Done | GivenUp | None:
        """Return the result for one checkpoint, None where it goes back to the queue; raise UnexpectedError."""
        running = self._running.pop(ref)
        for helper in running.helpers:  # alive() fails for one that died meanwhile; the checkpoint loses no attempt
            self._checked[helper.alive.remote()] = helper
        exceptions = self._ray.exceptions
        try:
            result = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            self._idle.append(running.lead)
            if not isinstance(error.cause, MemoryError):
                raise UnexpectedError(running.path, str(error)) from error
            reason = f"out of memory: {error.cause}"
        except exceptions.RayError as error:  # killed, out of memory, its node or what it sent lost
            reason = f"its worker died: {first_line(error)}"
        else:
            self._idle.append(running.lead)
            return Done(running.path, result, running.attempt)
        if running.attempt == MAX_ATTEMPTS:
            return GivenUp(running.path, f"{reason} ({running.attempt} attempts)", running.attempt)
        queue.append((running.path, running.attempt + 1))
        return None
