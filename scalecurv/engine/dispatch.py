"""The choice between the for loop and the cluster, and the resources that each worker is given."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from scalecurv.checkpoints.load import Checkpoint
from scalecurv.engine.attempts import Done, GivenUp
from scalecurv.engine.choice import FEW_PRODUCTS, RAY_START, Choice, ray_pays, seconds_left
from scalecurv.engine.cost import Cost
from scalecurv.engine.data_parallel import DataParallelGroup
from scalecurv.engine.pool import Pool
from scalecurv.engine.resources import Resources, check_device, elsewhere, serial_device, visible_gpus
from scalecurv.engine.serial import run_serial
from scalecurv.engine.session import ray_session
from scalecurv.engine.threads import Threads, fixed_threads, settings_kept
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import UNLIMITED, WorkerSpec, nodes_of
from scalecurv.errors import Misuse
from scalecurv.record import Tell

SOLE = "--workers 1"

logger = logging.getLogger(__name__)


def run(
    worker: Worker,
    paths: Sequence[str],
    resources: Resources,
    first: Checkpoint | None = None,
    tell: Tell | None = None,
) -> Iterator[Done | GivenUp]:
    """Yield the result of every checkpoint as it comes; raise Misuse for resources that are missing, before any runs.

    `first` is the first checkpoint where it has been read already: its cost decides whether Ray is started at once,
    and whether probes are shared out. The threads and TF32 switches of this process are at the end as they were.
    `tell` is told what is computed, now and then.
    """
    with settings_kept():
        yield from _run(worker, paths, resources, first, tell)


def _run(
    worker: Worker, paths: Sequence[str], resources: Resources, first: Checkpoint | None, tell: Tell | None
) -> Iterator[Done | GivenUp]:
    check_device(resources)
    cost = cache(lambda: worker.cost(first, "cpu", resources.threads or 1) if first else None)
    choice = choose(resources, len(paths), cost)
    told = logging.INFO if choice.reason == SOLE else logging.DEBUG  # who gives --workers expects Ray
    logger.log(told, "engine %s: %s", choice.engine, choice.reason)
    done, seconds = 0, 0.0
    if choice.engine == "serial":
        device = serial_device(resources.device)
        threads = serial_threads(resources, choice, worker, first if device == "cpu" else None)
        logger.debug("threads %d: %s", threads.count, threads.reason)
        results = run_serial(worker if first is None else worker.having(first), paths, device, threads, tell)
        began = time.perf_counter()
        for done, result in enumerate(results, 1):
            seconds += time.perf_counter() - began
            yield replace(result, engine="serial")
            if choice.may_change and _ray_takes_over(resources, seconds, done, len(paths) - done):
                break
            began = time.perf_counter()
    if done < len(paths):
        for result in _run_ray(worker, paths[done:], resources, cost, tell):
            yield replace(result, engine="ray")


def _ray_takes_over(resources: Resources, seconds: float, done: int, left: int) -> bool:
    """Return whether the `left` checkpoints go to Ray, where `done` of them took `seconds` in series."""
    workers = min(num_workers_here(resources) or 1, left)
    rest = seconds_left(seconds, done, left)
    pays = ray_pays(rest, workers)
    if pays:
        logger.debug("engine ray for the %d left: %.0f s in series, shared by %d workers", left, rest, workers)
    return pays


def _run_ray(
    worker: Worker,
    paths: Sequence[str],
    resources: Resources,
    cost: Callable[[], Cost | None],
    tell: Tell | None,
) -> Iterator[Done | GivenUp]:
    with _ray(resources) as ray:
        nodes = nodes_of(ray)
        spec = spec_for(resources, nodes)
        if resources.plan == "data":
            size = min(spec.fit(nodes), worker.num_data)
            yield from DataParallelGroup(ray, worker, spec, size, tell).run(paths)
            return
        known = None if spec.gpus else cost()  # on GPUs the cost is not known here
        if known is not None and resources.workers is None:
            spec = replace(spec, bytes=known.bytes)
        members = workers_per_checkpoint(resources.plan, len(paths), spec.fit(nodes))
        if resources.plan == "auto" and members > 1 and not spec.gpus:
            members = members if known is not None and known.worth_splitting(members) else 1
        yield from Pool(ray, worker, replace(spec, per_checkpoint=members), tell).run(paths)


@contextmanager
def session(resources: Resources) -> Iterator[None]:
    """Keep one connection to Ray open for several runs, where each of them is sure to need it."""
    check_device(resources)
    if choose(resources, 2).engine == "serial":
        yield
        return
    with _ray(resources):
        yield


def _ray(resources: Resources) -> AbstractContextManager[Any]:
    return ray_session(resources.address, num_cores(), visible_gpus() if resources.device != "cpu" else 0)


def workers_per_checkpoint(plan: str, num_checkpoints: int, num_workers: int) -> int:
    """Return how many workers may share one checkpoint: one, all of them, or with "auto" those that would be idle.

    Example:
        >>> [workers_per_checkpoint(plan, 3, 8) for plan in ("checkpoints", "probes", "auto")]
        [1, 8, 2]
    """
    if plan == "checkpoints":
        return 1
    return max(num_workers if plan in ("probes", "data") else num_workers // num_checkpoints, 1)


def choose(resources: Resources, num_checkpoints: int, cost: Callable[[], Cost | None] = lambda: None) -> Choice:
    """Return the engine; "auto" is Ray where several workers can be had and save more than the start of Ray takes.

    `cost` is asked for that of the first checkpoint where it decides. Where it does not show that Ray pays, work begins
    in series, and Ray takes over once the seconds of the first checkpoints show it. Raises Misuse for threads that no
    worker can have.
    """
    if resources.engine != "auto":
        return Choice(resources.engine, f"--engine {resources.engine}")
    if elsewhere(resources):  # this machine may be a head that does no work, or has no GPU
        return Choice("ray", "its cluster is running")
    if resources.workers == 1:
        return Choice("serial", SOLE)
    if not resources.workers and max(visible_gpus(), num_cores()) == 1:
        return Choice("serial", "one core")
    if resources.plan in ("probes", "data"):
        return Choice("ray", f"--plan {resources.plan}")
    if num_checkpoints <= 1:
        return Choice("serial", "one checkpoint")
    if visible_gpus() and resources.device != "cpu":
        return Choice("ray", f"{visible_gpus()} GPU(s)")
    workers = min(num_workers_here(resources) or 1, num_checkpoints)
    if workers == 1:
        return Choice("serial", "room for one worker")
    known = cost()
    if known is not None and ray_pays(least := FEW_PRODUCTS * known.seconds * num_checkpoints, workers):
        return Choice("ray", f"{FEW_PRODUCTS} products at each checkpoint alone take {least:.0f} s in series")
    return Choice("serial", f"Ray's start takes {RAY_START:g} s, which the work may not save", may_change=True)


def serial_threads(
    resources: Resources, choice: Choice, worker: Worker | None = None, first: Checkpoint | None = None
) -> Threads:
    """Return the CPU threads of the for loop: as asked, else one or all cores, whichever is faster at `first`.

    Without a first checkpoint to measure it at they are all cores.
    """
    cores = num_cores()
    threads = fixed_threads(resources.threads, choice.may_change)
    if threads is None and worker and first and cores > 1:
        threads = worker.faster_threads(first, cores)
    return threads or Threads(cores, "all cores")


def num_workers_here(resources: Resources) -> int | None:
    """Return how many workers a cluster of this machine would hold.

    Where the workers may be on other machines, it is the number asked for, None where none was.
    """
    if elsewhere(resources):
        return resources.workers
    node = {"CPU": float(num_cores()), "GPU": float(visible_gpus() if resources.device != "cpu" else 0)}
    return spec_for(resources, [node]).fit([node])


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spec_for(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> WorkerSpec:
    """Return what each worker is given: a GPU or a share of one, else cores; raise Misuse for what no node has."""
    threads = resources.threads or 1
    wants_gpu = resources.device.startswith("cuda") or (
        resources.device == "auto" and any(node.get("GPU", 0) for node in nodes)
    )
    spec = WorkerSpec(resources.workers or UNLIMITED, threads, resources.gpus_per_worker if wants_gpu else 0.0)
    if spec.fit(nodes):
        return spec
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
    if wants_gpu and most["GPU"] < resources.gpus_per_worker:
        raise Misuse(
            f"--device {resources.device} with {resources.gpus_per_worker:g} GPUs a worker but no node of the Ray "
            f"cluster has more than {most['GPU']:g}; give --device cpu, or fewer --gpus-per-worker"
        )
    raise Misuse(
        f"--threads {threads} but no node of the Ray cluster has more than {most['CPU']:g} CPUs for workers; give fewer"
    )
