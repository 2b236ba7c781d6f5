"""What each worker is given, and how many of them a cluster has room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNLIMITED = 1 << 20


@dataclass(frozen=True)
class Workers:
    """At most `most` actors, each with CPU threads and a share of GPUs, up to `crew` of them at one unit."""

    most: int = UNLIMITED
    threads: int = 1
    gpus: float = 0.0
    crew: int = 1

    def fit(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many the nodes could hold now, by what each has: 0 where none could, however long one waits."""
        return min(sum(self._on(node) for node in nodes), self.most)

    def _on(self, node: Mapping[str, float]) -> int:
        by_cpu = int(node.get("CPU", 0) // self.threads)
        if not self.gpus:
            return by_cpu
        gpus = node.get("GPU", 0)
        shares = int(1 / self.gpus + 1e-9) * int(gpus) if self.gpus <= 1 else int(gpus // self.gpus)
        return min(by_cpu, shares)


def nodes_of(ray: Any) -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
