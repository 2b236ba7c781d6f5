"""One checkpoint at a time on all workers: each holds a share of the data, every product is summed over them."""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from scalecurv.engine.attempts import MAX_ATTEMPTS, Done, GivenUp, UnexpectedError, check_readable
from scalecurv.engine.board import Board
from scalecurv.engine.pool import LOOK, MAX_FAILED_STARTS, PATIENCE
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.errors import ClusterError, Misuse, first_line
from scalecurv.problem.shard import Shard
from scalecurv.record import Stage, Tell
from scalecurv.user_code import search_here

SILENCE = timedelta(minutes=10)  # that a rank waits for another: more than reading a checkpoint and one product


class _Rank:
    """The code that runs in an actor: a member of a process group until the actor ends."""

    def __init__(self) -> None:
        search_here()  # before a worker arrives, whose measures may be classes of the current directory

    def meet(self) -> tuple[str, int]:
        """Open the store at which the other ranks meet; return its host and port. Called on rank 0 only."""
        import torch.distributed as dist
        from ray.util import get_node_ip_address

        host = get_node_ip_address()
        with socket.create_server((host, 0)) as listener:  # on this address alone; TCPStore would listen on all
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

    def join(self, worker: Worker, spec: WorkerSpec, shard: Shard, host: str, port: int) -> bool:
        """Enter the group; return once all ranks have entered."""
        import torch.distributed as dist

        if host.startswith("127."):  # an embedded cluster: nothing beyond this machine
            for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
                os.environ.setdefault(name, "lo")
        self._worker = worker.on("cuda:0" if spec.gpus else "cpu", spec.threads, shard)
        store = self._store if shard.rank == 0 else dist.TCPStore(host, port, is_master=False, timeout=SILENCE)
        backend = "nccl" if spec.gpus else "gloo"
        dist.init_process_group(backend, store=store, timeout=SILENCE, rank=shard.rank, world_size=shard.size)
        return True

    def run(self, path: str, tell: Tell | None = None) -> Any:
        return self._worker(path) if tell is None else self._worker(path, tell=tell)


class DataParallelGroup:
    """Analyses checkpoints one after the other, each on every rank, at most 3 attempts each.

    Any failure ends all ranks, and the checkpoint is tried again from the start. The ranks lie on as few nodes as will
    hold them. `tell` is told what rank 0 computes, now and then.
    """

    def __init__(self, ray: Any, worker: Worker, spec: WorkerSpec, size: int, tell: Tell | None = None):
        self._ray, self._spec, self._size = ray, spec, size
        self._worker = ray.put(worker)
        self._ranks: list[Any] = []
        self._placement: Any = None
        self._tell = tell
        self._board: Board | None = None

    def run(self, paths: Sequence[str]) -> Iterator[Done | GivenUp]:
        """Yield results as they come; raise UnexpectedError, and ClusterError and Misuse as `_start` does."""
        try:
            for path in paths:
                for attempt in range(1, MAX_ATTEMPTS + 1):
                    if not self._ranks:
                        self._start()
                    done, reason = self._settled(self._begin(path), path)
                    if not reason:
                        yield Done(path, done[0], attempt)
                        break
                    self._end()
                    if attempt == MAX_ATTEMPTS:
                        yield GivenUp(path, f"{reason} ({attempt} attempts)", attempt)
        finally:
            self._end()
            if self._board is not None:
                self._board.end()

    def _begin(self, path: str) -> list[Any]:
        """Give the checkpoint to all ranks, and return their results to come.

        All of them count their products, as sums over the data wait for all ranks; only what rank 0 tells is heard.
        """
        if self._tell is None:
            return [rank.run.remote(path) for rank in self._ranks]
        self._board = self._board or Board(self._ray, self._tell)
        self._tell(Stage(path))
        return [rank.run.remote(path, unheard if i else self._board.post) for i, rank in enumerate(self._ranks)]

    def _start(self) -> None:
        """Start the ranks and have them join one group; raise ClusterError for no room, Misuse if they do not."""
        for _ in range(MAX_FAILED_STARTS):
            self._place()
            try:
                host, port = self._ray.get(self._ranks[0].meet.remote())
            except self._ray.exceptions.RayError as error:
                reason = first_line(error)
            else:
                shards = [Shard(rank, self._size) for rank in range(self._size)]
                joins = [
                    rank.join.remote(self._worker, self._spec, shard, host, port)
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
        """Reserve a bundle of resources for each rank and start the ranks in them; raise ClusterError for no room."""
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        spec = self._spec
        bundle = {"CPU": spec.threads, **({"GPU": spec.gpus} if spec.gpus else {})}
        self._placement = placement_group([bundle] * self._size, strategy="PACK")
        deadline = time.monotonic() + PATIENCE
        while not self._placement.wait(LOOK):
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the cluster has no room for {self._size} workers of {bundle} at once; give fewer --workers"
                )
        actor = self._ray.remote(_Rank)
        for i in range(self._size):
            place = PlacementGroupSchedulingStrategy(self._placement, placement_group_bundle_index=i)
            options = {"num_cpus": spec.threads, "num_gpus": spec.gpus, "max_restarts": 0, "max_task_retries": 0}
            self._ranks.append(actor.options(scheduling_strategy=place, **options).remote())

    def _settled(self, refs: list[Any], path: str) -> tuple[list[Any], str]:
        """Return the results of all ranks, or why one of them has none: the first that fails ends the wait."""
        exceptions, waiting = self._ray.exceptions, list(refs)
        while waiting:
            if self._board is not None:
                self._board.look()
            arrived, waiting = self._ray.wait(waiting, num_returns=1, timeout=LOOK)
            for ref in arrived:
                try:
                    self._ray.get(ref)
                except exceptions.RayTaskError as error:
                    return [], self._why(error, [other for other in refs if other is not ref], path)
                except exceptions.RayError as error:
                    return [], _died(error)
        return self._ray.get(refs), ""

    def _why(self, error: Any, others: list[Any], path: str) -> str:
        """Return the reason to try again after an error in a rank; raise UnexpectedError for a bug.

        Where another rank died, this one reports only that its peer is silent: the death is the reason returned.
        """
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
                return _died(death)
        check_readable(self._ray, error)
        raise UnexpectedError(path, str(error)) from error

    def _end(self) -> None:
        for rank in self._ranks:
            self._ray.kill(rank)
        self._ranks = []
        if self._placement is not None:
            from ray.util.placement_group import remove_placement_group

            remove_placement_group(self._placement)
            self._placement = None


def unheard(stage: Stage) -> None:
    """Take a stage that nobody waits for."""


def _died(error: BaseException) -> str:
    return f"a worker of the data-parallel group died: {first_line(error)}"
