"""SIGKILL to the workers of a sweep on an embedded cluster, at times drawn uniformly over it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from chaos.audit import Tally
from chaos.processes import Spoken, end_processes_of, kill, workers_of
from chaos.scene import Scene
from chaos.strikes import Strikes, sweep

AT_ONCE = 15  # kills to a sweep
RECOVERY = 1.5  # seconds that one costs: a new worker imports torch, beside another that computes


def worker_kills(scene: Scene, kills: int, rng: np.random.Generator, say: Callable[[str], None]) -> Tally:
    """Kill some worker, computing or starting, each time.

    A checkpoint whose worker was killed three times is a failed row, which is no loss: the same command finishes it.
    """
    home = scene.home("w")

    def begin(store: Path) -> Spoken:
        end_processes_of(home)  # Ray's two agents of the sweep before may outlive it by a minute
        return sweep(scene, store, home)

    def strike() -> bool:
        workers = workers_of(home)
        return bool(workers) and kill(int(rng.choice(workers)))

    try:
        return Strikes(scene, Tally("workers"), home, begin, strike, AT_ONCE, RECOVERY).carry_out(kills, rng, say)
    finally:
        end_processes_of(home)
