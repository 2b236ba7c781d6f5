"""Nodes that die and nodes that join in the middle of a sweep, on a cluster in a process of its own.

Three acts on one cluster: a node is killed and another joins late; then the last ones are killed and none is left.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from scalecurv.engine.session import LOOPBACK_ONLY
from tests.commands import HANG, end_processes_of, start
from tests.runs import checkpoints_of

pytestmark = [pytest.mark.ray, pytest.mark.fault]

COUNT = 9


@dataclass(frozen=True)
class Located:
    """A worker that notes its node; a checkpoint takes a moment, or until a third node has a worker. Without torch."""

    folder: Path

    def on(self, device: str, threads: int) -> "Located":
        import ray

        (self.folder / f"{ray.get_runtime_context().get_node_id()}.{os.getpid()}").touch()
        return self

    def __call__(self, path: str) -> str:
        time.sleep(0.3)
        while (self.folder / "hold").exists() and len(nodes_in(self.folder)) < 3:
            time.sleep(0.05)
        return path


def nodes_in(folder: Path) -> set[str]:
    """Return the nodes that have had a worker."""
    return {path.stem for path in folder.glob("*.[0-9]*")}


def main(folder: Path) -> None:
    """Print what happened, as JSON."""
    from ray.cluster_utils import Cluster

    from scalecurv.engine import pool
    from scalecurv.engine.dispatch import run
    from scalecurv.engine.resources import Resources
    from scalecurv.engine.session import ray_session
    from scalecurv.errors import ClusterError, Misuse
    from scalecurv.record import FileStamp, Outcome
    from scalecurv.store.writer import prepare_store, write_part

    head = {"num_cpus": 0, "include_dashboard": False, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, wait=False) for _ in range(2)]
    store, workers = folder / "store", folder / "workers"
    prepare_store(store)
    workers.mkdir()
    pool.PATIENCE = 1.0
    said: dict[str, Any] = {"attempts": {}}

    def kill(node: Any) -> None:
        """End a node as a machine that is switched off: its servers, and its workers."""
        servers = [process.process.pid for processes in node.all_processes.values() for process in processes]
        for pid in [*servers, *(int(path.suffix[1:]) for path in workers.glob(f"{node.node_id}.*"))]:
            os.kill(pid, signal.SIGKILL)

    cluster.wait_for_nodes()
    with ray_session(cluster.address, 0, 0):
        paths = [f"step_{i}.pt" for i in range(COUNT)]
        try:
            worker: Any = Located(workers)
            for nth, item in enumerate(run(worker, paths, Resources("ray", cluster.address))):
                path = item.result
                write_part(store, Outcome(path, "ok", stamp=FileStamp(path, 0, 0, nth), attempt=item.attempt))
                said["attempts"][path] = item.attempt
                if nth == 1:
                    (workers / "hold").touch()
                    kill(nodes[0])
                    nodes.append(cluster.add_node(num_cpus=1, wait=False))
                if nth == COUNT - 4:
                    said["nodes"] = len(nodes_in(workers))
                    for node in nodes[1:]:
                        kill(node)
        except (ClusterError, Misuse) as error:
            said["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(said), flush=True)
    os._exit(0)  # there is nothing left to shut down


PRIVATE = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0", LOOPBACK_ONLY: "0"}
SOON = {"period_ms": "200", "timeout_ms": "60000", "failure_threshold": "2"}  # the dead refuse; the slow may wait
HEALTH = {f"RAY_health_check_{name}": value for name, value in SOON.items()}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    end_processes_of(tmp_path / "home")


def test_a_sweep_outlives_its_nodes_until_none_is_left(home: Path, tmp_path: Path) -> None:
    """At most two checkpoints were on their way when the last nodes died; what was reported before is stored."""
    words = [sys.executable, "-c", f"from tests.engine.test_nodes import *; main(Path({str(tmp_path)!r}))"]
    with TemporaryDirectory() as short:  # names of sockets have at most 107 bytes
        process = start(words, home, RAY_TMPDIR=short, **PRIVATE, **HEALTH)
        stdout, stderr = process.communicate(timeout=HANG)
        end_processes_of(home)
    assert process.returncode == 0, stderr
    said = json.loads(stdout.splitlines()[-1])
    assert said["nodes"] == 3, stderr  # the late one was given a worker
    assert COUNT - 3 <= len(said["attempts"]) < COUNT
    assert set(said["attempts"].values()) <= {1, 2}
    head = "ClusterError: no node that is left has 1 CPU(s) and 0 GPU(s) for a worker; add one and run the same again"
    assert said["error"] == head
    rows = checkpoints_of(tmp_path / "store")
    assert set(rows["path"]) == set(said["attempts"])
    assert set(rows["status"]) == {"ok"}
