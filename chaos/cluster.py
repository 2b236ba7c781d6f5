"""A Ray cluster in a process of its own: a head without CPUs and one node, which is killed and followed by a new one.

    python -m chaos.cluster

Says the address, then on each line read: `killed`, and `joined` once a new node is there. The token, the home and the
folder for temporary files come from the environment.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

NUM_CPUS = 2


def children_of(parent: int) -> list[int]:
    """Return the process ids of the workers and agents of a raylet."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text()
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    node = cluster.add_node(num_cpus=NUM_CPUS)
    print("address", cluster.address, flush=True)
    for _ in sys.stdin:
        raylet = node.all_processes["raylet"][0].process.pid
        for pid in [raylet, *children_of(raylet)]:  # as when a machine loses its power
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.kill_all_processes(check_alive=False, allow_graceful=False)
        cluster.worker_nodes.discard(node)
        print("killed", flush=True)
        time.sleep(1.0)  # for a while there is no node at all
        node = cluster.add_node(num_cpus=NUM_CPUS)
        print("joined", flush=True)


if __name__ == "__main__":
    main()
