"""SIGKILL to the only node that computes, and a new one that joins, at times drawn uniformly over a sweep."""

import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chaos.audit import Tally
from chaos.processes import PYTHON, Spoken, end_processes_of, wait_for
from chaos.scene import Scene
from chaos.strikes import Strikes, sweep

AT_ONCE = 4  # kills to a sweep
RECOVERY = 6.0  # seconds that one costs: the death is noticed, a node joins, two workers start
LIMIT = 60.0  # seconds for a cluster to start, a node to die or to join


def node_kills(scene: Scene, kills: int, rng: np.random.Generator, say: Callable[[str], None]) -> Tally:
    """Kill the raylet and all processes below it. The head has no CPU: the sweep waits until a node is there."""
    home, tally = scene.home("n"), Tally("nodes")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    cluster = Spoken([PYTHON, "-m", "chaos.cluster"], home, **token)

    def heard(word: str) -> int:
        return sum(line.startswith(word) for line in cluster.text().splitlines())

    def begin(store: Path) -> Spoken:
        if not wait_for(lambda: heard("joined") == heard("killed"), LIMIT):
            tally.fault("hangs", f"no node joined:\n{cluster.text()[-1000:]}")
        return sweep(scene, store, home, "--address", address, **token)

    def strike() -> bool:
        before = heard("killed")
        if heard("joined") < before:  # the node before has had no successor yet
            return False
        cluster.tell("kill")
        if not wait_for(lambda: heard("killed") > before, LIMIT):
            tally.fault("hangs", f"the node was not killed:\n{cluster.text()[-1000:]}")
        return True

    try:
        if not wait_for(lambda: heard("address") > 0, LIMIT):
            tally.fault("hangs", f"the cluster did not start:\n{cluster.text()[-1000:]}")
            return tally
        address = next(line.split()[1] for line in cluster.text().splitlines() if line.startswith("address"))
        return Strikes(scene, tally, home, begin, strike, AT_ONCE, RECOVERY).carry_out(kills, rng, say)
    finally:
        end_processes_of(home)
