"""Nodes that die and nodes that join in the middle of a sweep, on a cluster in a process of its own.

Three acts on one cluster: a node is killed and another joins late; then the last ones are killed and none is left.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from scalecurv.engine.session import LOOPBACK_ONLY
from tests.commands import HANG, end_processes_of, start
from tests.runs import checkpoints_of

pytestmark = [pytest.mark.ray, pytest.mark.fault]

COUNT = 10


def slowly(analyst: Any, folder: Path) -> Any:
    """An analyst whose workers note where they are; a unit takes half a second, or until a third node has a worker."""
    import time

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(analyst, name)

        def __reduce__(self) -> tuple[Any, ...]:
            return slowly, (analyst, folder)

        def on(self, *told: Any) -> Any:
            desk = analyst.on(*told)
            import ray

            node = ray.get_runtime_context().get_node_id()
            (folder / f"{node}.{os.getpid()}").touch()

            def run(unit: str) -> Any:
                time.sleep(0.5)
                while (folder / "hold").exists() and len(nodes_in(folder)) < 3:
                    time.sleep(0.1)
                return desk(unit)

            return run

    return Slow()


def nodes_in(folder: Path) -> set[str]:
    """Those that have had a worker."""
    return {path.stem for path in folder.glob("*.[0-9]*")}


def main(folder: Path) -> None:
    """What happened, as JSON on stdout."""
    from ray.cluster_utils import Cluster

    from scalecurv.engine import pool
    from scalecurv.engine.dispatch import Resources, run
    from scalecurv.engine.session import ray_session
    from scalecurv.engine.worker import Analyst
    from scalecurv.errors import ClusterError, Misuse
    from scalecurv.store.writer import prepare_store, write_part
    from scalecurv.sweep import plan
    from tests.runs import gradient_sweep

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1, wait=False) for _ in range(2)]
    sweep = gradient_sweep(folder, range(COUNT))
    work = plan(sweep)
    prepare_store(sweep.store)
    analyst = slowly(Analyst(work.task, sweep.request, sweep.arithmetic, work.known), folder / "workers")
    (folder / "workers").mkdir()
    pool.PATIENCE = 1.0
    said: dict[str, Any] = {"attempts": {}, "stored": []}

    def kill(node: Any) -> None:
        """As a machine that is switched off: its servers, and its workers."""
        servers = [process.process.pid for processes in node.all_processes.values() for process in processes]
        for pid in [*servers, *(int(path.suffix[1:]) for path in (folder / "workers").glob(f"{node.node_id}.*"))]:
            os.kill(pid, signal.SIGKILL)

    cluster.wait_for_nodes()
    with ray_session(cluster.address, 0, 0):
        news = run(analyst, work.todo, Resources("ray", cluster.address))
        try:
            for nth, item in enumerate(news):
                write_part(sweep.store, item.result)
                said["attempts"][Path(item.unit).stem] = item.attempt
                if nth == 1:
                    (folder / "workers" / "hold").touch()
                    kill(nodes[0])
                    nodes.append(cluster.add_node(num_cpus=1, wait=False))
                if nth == COUNT - 4:
                    said["nodes"] = len(nodes_in(folder / "workers"))
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
    """At most two units were on their way when the last nodes died; what was reported before is stored."""
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
    assert {Path(path).stem for path in rows["path"]} == set(said["attempts"])
    assert set(rows["status"]) == {"ok"}
