"""The resources of each worker, and the number of workers that the nodes of a cluster can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNLIMITED = 1 << 20


@dataclass(frozen=True)
class WorkerSpec:
    """At most `most` workers, each with CPU threads, bytes and a share of GPUs; `per_checkpoint` may share one."""

    most: int = UNLIMITED
    threads: int = 1
    gpus: float = 0.0
    per_checkpoint: int = 1
    bytes: int = 0

    def fit(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many workers the nodes can hold by their resources in all, busy or not; 0 where none can.

        Example:
            >>> WorkerSpec(threads=2).fit([{"CPU": 8.0}, {"CPU": 3.0}])
            5
            >>> WorkerSpec(bytes=2 << 30).fit([{"CPU": 8.0, "memory": 5e9}])
            2
        """
        return min(sum(self._on(node) for node in nodes), self.most)

    def _on(self, node: Mapping[str, float]) -> int:
        by_cpu = int(node.get("CPU", 0) // self.threads)
        if self.bytes and "memory" in node:  # one worker at least: what it takes is the most that it may take
            by_cpu = min(by_cpu, max(1, int(node["memory"] // self.bytes)))
        if not self.gpus:
            return by_cpu
        gpus = node.get("GPU", 0)
        shares = int(1 / self.gpus + 1e-9) * int(gpus) if self.gpus <= 1 else int(gpus // self.gpus)
        return min(by_cpu, shares)


def nodes_of(ray: Any) -> list[dict[str, float]]:
    """Return the resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
