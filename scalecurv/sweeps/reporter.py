"""The progress of a sweep, for whoever watches: a file in its store, lines in its log, and bars on a terminal."""

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from scalecurv.record import Outcome, Stage
from scalecurv.store.running import Running, RunningFile, remove_ended
from scalecurv.sweeps.progress import log_stages

TICK = 1.0  # seconds between two files
LONG = 30.0  # seconds that a checkpoint takes before the log says so, and between two such lines
WINDOW = 60.0  # seconds over which the rate of products is taken


class Reporter:
    """A thread that tells once a second what a sweep does, as the thread that computes may be busy for minutes.

    Enter it before the work and leave it after. `show` is given the same as the file in the store, in place of lines in
    the log. `follows` is True where the sweep waits for checkpoints to come: its file is then there from the beginning,
    else from the first second on.
    """

    def __init__(
        self,
        store: Path,
        show: Callable[[Running], object] | None = None,
        follows: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._store, self._show, self._follows, self._clock = store, show, follows, clock
        self._file = RunningFile(store)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="scalecurv-reporter", daemon=True)
        self._began = self._logged = clock()
        self._stored = 0.0
        self._total = self._done = self._failed = self._products = 0
        self._stages: dict[str, tuple[Stage, float]] = {}  # with the time at which each was told
        self._rates: deque[tuple[float, int]] = deque([(self._began, 0)])

    def __enter__(self) -> "Reporter":
        if self._follows:
            self.tick()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5 * TICK)  # a file system that hangs keeps nobody
        self._file.remove()

    def begin(self, total: int) -> None:
        """Say that work on so many more checkpoints begins."""
        remove_ended(self._store)
        with self._lock:
            if self._done == self._total:  # what waited for new checkpoints has a new beginning
                self._began = self._clock()
                self._total = self._done = self._failed = 0
            self._total += total
        self._display(self.running())

    def tell(self, stage: Stage) -> None:
        """Take what is computed at a checkpoint; what comes late, after it is done, is left."""
        with self._lock:
            if stage.path in self._stages or not stage.measure:
                self._stages[stage.path] = stage, self._clock()

    def ended(self, path: str) -> None:
        """Say that nothing more is computed at a checkpoint."""
        with self._lock:
            self._stages.pop(path, None)

    def count(self, outcome: Outcome) -> None:
        """Count a checkpoint that is stored."""
        with self._lock:
            self._done += 1
            self._stored = self._clock() - self._began
            self._failed += outcome.status == "failed"
            self._products += outcome.total_matvecs
        self._display(self.running())

    def running(self) -> Running:
        """Return what the sweep does now."""
        with self._lock:
            now = self._clock()
            stages = tuple(stage.after(now - told) for stage, told in self._stages.values())
            products = self._products + sum(stage.taken for stage in stages)
            (first, before) = self._rates[0]
            rate = max(products - before, 0) / (now - first) if now > first else 0.0
            if now - self._rates[-1][0] >= TICK:
                self._rates.append((now, products))
                while now - self._rates[0][0] > WINDOW:
                    self._rates.popleft()
            return Running(
                socket.gethostname(),
                os.getpid(),
                time.time(),
                now - self._began,
                self._total,
                self._done,
                self._failed,
                self._stored,
                rate,
                self._follows,
                stages,
            )

    def tick(self) -> None:
        """Write the file, show the bars, and log what has taken long: what happens once a second."""
        running = self.running()
        self._file.write(running)
        self._display(running)
        now = self._clock()
        if now - self._logged >= LONG and any(stage.seconds >= LONG for stage in running.stages):
            self._logged = now
            log_stages(running.stages)

    def _display(self, running: Running) -> None:
        if self._show is not None:
            with suppress(OSError):  # a terminal that was closed
                self._show(running)

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            self.tick()
