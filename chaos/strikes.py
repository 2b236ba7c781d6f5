"""A sweep that something is killed under, again and again, and then the same command until all is there."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chaos.audit import Audit, Tally
from chaos.processes import POLL, PYTHON, Spoken, workers_of
from chaos.scene import OPTIONS, Scene

IDLE = 5  # sweeps in a row that end before anything was killed: then something is wrong with the killing


def sweep(scene: Scene, store: Path, home: Path, *options: object, **more: str) -> Spoken:
    """Start `scalecurv analyze` on Ray, as a process of its own."""
    words = [PYTHON, "-m", "scalecurv", "analyze", scene.run, store, "--engine", "ray", *OPTIONS, *options]
    return Spoken(words, home, **more)


@dataclass(frozen=True)
class Strikes:
    """A kind of kill: how a sweep of a store begins, what is killed, and what that costs.

    `begin` starts the sweep, `strike` kills and says whether there was something to kill, `at_once` kills go to one
    sweep, and each makes it some `recovery` seconds longer.
    """

    scene: Scene
    tally: Tally
    home: Path
    begin: Callable[[Path], Spoken]
    strike: Callable[[], bool]
    at_once: int
    recovery: float

    def carry_out(self, kills: int, rng: np.random.Generator, say: Callable[[str], None]) -> Tally:
        """Sweep new stores until there were `kills`, at times drawn uniformly over an undisturbed sweep and put off by
        what earlier kills have cost.

        A store that is not finished under fire is finished by the same command, undisturbed.
        """
        audit = self._new()
        well, span = self._under_fire(audit, ())
        audit.conclude(self.scene.reference)
        say(f"{self.tally.kind}: undisturbed, a sweep takes {span:.1f} s from its first worker on")
        counts, idle = self.tally.counts, 0
        while well and counts["kills"] < kills and idle < IDLE and not counts["hangs"]:
            before = counts["kills"]
            number = min(self.at_once, kills - before)
            audit = self._new()
            due = np.sort(rng.uniform(0.0, span, number)) + self.recovery * np.arange(number)
            done, _ = self._under_fire(audit, due)
            if not done:
                self._under_fire(audit, ())
            audit.conclude(self.scene.reference)
            idle = 0 if counts["kills"] > before else idle + 1
            say(f"{self.tally.kind}: {counts['kills']} kills, {self.tally.faults} faults")
        if counts["kills"] < kills:
            self.tally.fault("crashes", f"only {counts['kills']} of {kills} kills could be made")
        return self.tally

    def _new(self) -> Audit:
        return Audit(self.scene.folder / f"{self.tally.kind}-{self.tally.counts['sweeps']}", self.tally)

    def _under_fire(self, audit: Audit, due: Sequence[float] | np.ndarray) -> tuple[bool, float]:
        """Kill at the `due` times, in seconds after the first worker was seen, and look after each.

        Return (did the sweep end well, the seconds from the first worker on). A kill that finds nothing to kill waits
        for something, or for the end. Disturbed, a sweep may also end with failed checkpoints (1: some were killed
        three times) or without workers (2: three in a row died while starting).
        """
        tally, running = self.tally, self.begin(audit.store)
        tally.counts["sweeps"] += 1
        waiting, struck, zero = list(due), 0, 0.0
        while running.running():
            if running.stalled():
                tally.fault("hangs", f"a sweep of {audit.store.name} fell silent:\n{running.text()[-1000:]}")
                running.end(0.1)
                return False, 0.0
            if not zero and workers_of(self.home):
                zero = time.monotonic()
            if zero and waiting and time.monotonic() - zero >= waiting[0]:
                audit.hear(running.text())
                if self.strike():
                    waiting.pop(0)
                    struck += 1
                    tally.counts["kills"] += 1
                    audit.check()
            time.sleep(POLL)
        audit.hear(running.text())
        audit.check()
        code = running.process.returncode
        if code not in ((0, 1, 2) if struck else (0,)):
            tally.fault("crashes", f"a sweep of {audit.store.name} ended with {code}:\n{running.text()[-1000:]}")
        return code == 0, time.monotonic() - zero
