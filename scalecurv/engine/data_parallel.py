"""One checkpoint at a time on all workers: each holds a share of the data, every product is summed over them."""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, Lost, UnitError, first_line
from scalecurv.engine.pool import LOOK, MAX_FAILED_STARTS, PATIENCE
from scalecurv.engine.worker import Analyst
from scalecurv.engine.workers import Workers
from scalecurv.errors import ClusterError, Misuse
from scalecurv.problem.shard import Shard

SILENCE = timedelta(minutes=10)  # that a rank waits for another: more than reading a checkpoint and one product


class _Rank:
    """The actor's side: a member of a process group for as long as it lives."""

    def meet(self) -> tuple[str, int]:
        """Rank 0: where the others find it."""
        import torch.distributed as dist
        from ray.util import get_node_ip_address

        host = get_node_ip_address()
        with socket.create_server((host, 0)) as listener:  # on this address alone; by itself it would take all
            port = int(listener.getsockname()[1])
            self._store = dist.TCPStore(
                host,
                port,
                is_master=True,
                wait_for_workers=False,
                timeout=SILENCE,
                master_listen_fd=listener.detach(),
            )
        return host, port

    def join(self, analyst: Analyst, workers: Workers, shard: Shard, host: str, port: int) -> bool:
        """Enter the group; returns once all are there."""
        import torch.distributed as dist

        if host.startswith("127."):  # an embedded cluster: nothing beyond this machine
            for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
                os.environ.setdefault(name, "lo")
        device = "cuda:0" if workers.gpus else "cpu"
        self._desk = analyst.on(device, workers.threads, shard)
        store = self._store if shard.rank == 0 else dist.TCPStore(host, port, is_master=False, timeout=SILENCE)
        backend = "nccl" if workers.gpus else "gloo"
        dist.init_process_group(backend, store=store, timeout=SILENCE, rank=shard.rank, world_size=shard.size)
        return True

    def run(self, unit: str) -> Any:
        return self._desk(unit)


class Gang:
    """Units one after the other, each on every rank. Any failure ends all ranks, and the unit is tried again whole.

    The ranks lie on as few nodes as will hold them. At most 3 attempts, counted here.
    """

    def __init__(self, ray: Any, analyst: Analyst, workers: Workers, size: int):
        self._ray, self._workers, self._size = ray, workers, size
        self._analyst = ray.put(analyst)
        self._ranks: list[Any] = []
        self._group: Any = None

    def run(self, units: Sequence[str]) -> Iterator[Done | Lost]:
        """Results as they come; raises UnitError for a bug, Misuse where the ranks do not find each other."""
        try:
            for unit in units:
                for attempt in range(1, MAX_ATTEMPTS + 1):
                    if not self._ranks:
                        self._start()
                    done, reason = self._settled([rank.run.remote(unit) for rank in self._ranks], unit)
                    if not reason:
                        yield Done(unit, done[0], attempt)
                        break
                    self._end()
                    if attempt == MAX_ATTEMPTS:
                        yield Lost(unit, f"{reason} ({attempt} attempts)", attempt)
        finally:
            self._end()

    def _start(self) -> None:
        """A gang whose ranks have met; raises ClusterError where there is no room, Misuse where they never meet."""
        for _ in range(MAX_FAILED_STARTS):
            self._place()
            try:
                host, port = self._ray.get(self._ranks[0].meet.remote())
            except self._ray.exceptions.RayError as error:
                reason = first_line(error)
            else:
                shards = [Shard(rank, self._size) for rank in range(self._size)]
                joins = [
                    rank.join.remote(self._analyst, self._workers, shard, host, port)
                    for rank, shard in zip(self._ranks, shards, strict=True)
                ]
                _, reason = self._settled(joins, "the data")
                if not reason:
                    return
            self._end()
        raise Misuse(
            f"{self._size} workers did not come together in {MAX_FAILED_STARTS} tries ({reason}); give fewer "
            f"--workers, or --plan checkpoints"
        )

    def _place(self) -> None:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        workers = self._workers
        bundle = {"CPU": workers.threads, **({"GPU": workers.gpus} if workers.gpus else {})}
        self._group = placement_group([bundle] * self._size, strategy="PACK")
        deadline = time.monotonic() + PATIENCE
        while not self._group.wait(LOOK):
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the cluster has no room for {self._size} workers of {bundle} at once; give fewer --workers"
                )
        actor = self._ray.remote(_Rank)
        for i in range(self._size):
            place = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=i)
            options = {"num_cpus": workers.threads, "num_gpus": workers.gpus, "max_restarts": 0, "max_task_retries": 0}
            self._ranks.append(actor.options(scheduling_strategy=place, **options).remote())

    def _settled(self, refs: list[Any], unit: str) -> tuple[list[Any], str]:
        """What every rank returned, or why one of them did not: the first that fails ends the wait."""
        exceptions, waiting = self._ray.exceptions, list(refs)
        while waiting:
            arrived, waiting = self._ray.wait(waiting, num_returns=1, timeout=LOOK)
            for ref in arrived:
                try:
                    self._ray.get(ref)
                except exceptions.RayTaskError as error:
                    return [], self._why(error, [other for other in refs if other is not ref], unit)
                except exceptions.RayError as error:
                    return [], f"a worker of the gang died: {first_line(error)}"
        return self._ray.get(refs), ""

    def _why(self, error: Any, others: list[Any], unit: str) -> str:
        """An error's reason to try again; raises UnitError for a bug. A rank whose peer died only hears of silence."""
        if isinstance(error.cause, MemoryError):
            return f"out of memory: {error.cause}"
        exceptions = self._ray.exceptions
        settled, _ = self._ray.wait(others, num_returns=len(others), timeout=2.0) if others else ([], [])
        for ref in settled:
            try:
                self._ray.get(ref)
            except exceptions.RayTaskError as other:
                if isinstance(other.cause, MemoryError):
                    return f"out of memory: {other.cause}"
            except exceptions.RayError as death:
                return f"a worker of the gang died: {first_line(death)}"
        raise UnitError(unit, str(error)) from error

    def _end(self) -> None:
        for rank in self._ranks:
            self._ray.kill(rank)
        self._ranks = []
        if self._group is not None:
            from ray.util.placement_group import remove_placement_group

            remove_placement_group(self._group)
            self._group = None
