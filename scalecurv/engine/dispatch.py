"""The choice between the for loop and the cluster, and the resources that each worker is given."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from scalecurv.checkpoints.load import Checkpoint
from scalecurv.engine.attempts import Done, GivenUp
from scalecurv.engine.choice import FEW_PRODUCTS, RAY_START, Choice, ray_pays, seconds_left
from scalecurv.engine.cost import Cost
from scalecurv.engine.data_parallel import DataParallelGroup
from scalecurv.engine.pool import Pool
from scalecurv.engine.serial import run_serial
from scalecurv.engine.session import joining, ray_session
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import UNLIMITED, WorkerSpec, nodes_of
from scalecurv.errors import Misuse
from scalecurv.quantities import AUTO, GPUS_PER_WORKER

ENGINES = (AUTO, "ray", "serial")
PLANS = (AUTO, "checkpoints", "probes", "data")
SOLE = "--workers 1"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resources:
    """The engine (auto|ray|serial), the address of a running cluster, and the resources that each worker is given.

    `plan` tells what the workers share out: "checkpoints", the "probes" of each checkpoint, the "data", or "auto" by
    cost.
    """

    engine: str = AUTO
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    device: str = AUTO
    gpus_per_worker: float = GPUS_PER_WORKER
    plan: str = AUTO


def run(
    worker: Worker, paths: Sequence[str], resources: Resources, first: Checkpoint | None = None
) -> Iterator[Done | GivenUp]:
    """Yield the result of every checkpoint as it comes; raise Misuse for resources that are missing, before any runs.

    `first` is the first checkpoint where it has been read already: its cost decides whether Ray is started at once,
    and whether probes are shared out.
    """
    check_device(resources)
    cost = cache(lambda: worker.cost(first, "cpu", resources.threads or 1) if first else None)
    choice = choose(resources, len(paths), cost)
    told = logging.INFO if choice.reason == SOLE else logging.DEBUG  # who gives --workers expects Ray
    logger.log(told, "engine %s: %s", choice.engine, choice.reason)
    done, seconds = 0, 0.0
    if choice.engine == "serial":
        results = run_serial(worker, paths, serial_device(resources.device), serial_threads(resources, choice))
        began = time.perf_counter()
        for done, result in enumerate(results, 1):
            seconds += time.perf_counter() - began
            yield replace(result, engine="serial")
            if choice.may_change and _ray_takes_over(resources, seconds, done, len(paths) - done):
                break
            began = time.perf_counter()
    if done < len(paths):
        for result in _run_ray(worker, paths[done:], resources, cost):
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
    worker: Worker, paths: Sequence[str], resources: Resources, cost: Callable[[], Cost | None]
) -> Iterator[Done | GivenUp]:
    with _ray(resources) as ray:
        nodes = nodes_of(ray)
        spec = spec_for(resources, nodes)
        if resources.plan == "data":
            size = min(spec.fit(nodes), worker.num_data)
            yield from DataParallelGroup(ray, worker, spec, size).run(paths)
            return
        members = workers_per_checkpoint(resources.plan, len(paths), spec.fit(nodes))
        if resources.plan == "auto" and members > 1 and not spec.gpus:  # on GPUs the cost is not known here
            known = cost()
            members = members if known is not None and known.worth_splitting(members) else 1
        yield from Pool(ray, worker, replace(spec, per_checkpoint=members)).run(paths)


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
    return ray_session(resources.address, num_cores(), _visible_gpus() if resources.device != "cpu" else 0)


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
    if _elsewhere(resources):  # this machine may be a head that does no work, or has no GPU
        return Choice("ray", "its cluster is running")
    if resources.workers == 1:
        return Choice("serial", SOLE)
    if not resources.workers and max(_visible_gpus(), num_cores()) == 1:
        return Choice("serial", "one core")
    if resources.plan in ("probes", "data"):
        return Choice("ray", f"--plan {resources.plan}")
    if num_checkpoints <= 1:
        return Choice("serial", "one checkpoint")
    if _visible_gpus() and resources.device != "cpu":
        return Choice("ray", f"{_visible_gpus()} GPU(s)")
    workers = min(num_workers_here(resources) or 1, num_checkpoints)
    if workers == 1:
        return Choice("serial", "room for one worker")
    known = cost()
    if known is not None and ray_pays(least := FEW_PRODUCTS * known.seconds * num_checkpoints, workers):
        return Choice("ray", f"{FEW_PRODUCTS} products at each checkpoint alone take {least:.0f} s in series")
    return Choice("serial", f"Ray's start takes {RAY_START:g} s, which the work may not save", may_change=True)


def serial_threads(resources: Resources, choice: Choice) -> int:
    """Return the CPU threads of the for loop: as asked, else OMP_NUM_THREADS, else all cores.

    Where Ray may take over they are those of its workers, so that all rows come from one arithmetic.
    """
    if resources.threads or choice.may_change:
        return resources.threads or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is for nested regions
    return int(asked) if asked.isdecimal() and int(asked) else num_cores()


def num_workers_here(resources: Resources) -> int | None:
    """Return how many workers a cluster of this machine would hold.

    Where the workers may be on other machines, it is the number asked for, None where none was.
    """
    if _elsewhere(resources):
        return resources.workers
    node = {"CPU": float(num_cores()), "GPU": float(_visible_gpus() if resources.device != "cpu" else 0)}
    return spec_for(resources, [node]).fit([node])


def _elsewhere(resources: Resources) -> bool:
    """Return whether the workers may be on other machines than this process."""
    return resources.engine != "serial" and joining(resources.address) is not None


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serial_device(device: str) -> str:
    """Return the device of the for loop: "auto" is cuda:0 where there is a GPU."""
    if device == "auto":
        return "cuda:0" if _visible_gpus() else "cpu"
    return "cuda:0" if device == "cuda" else device


def check_device(resources: Resources) -> None:
    """Raise Misuse for a device that this machine does not have, or options that contradict the engine."""
    if resources.engine not in ENGINES:
        raise Misuse(f"unknown --engine {resources.engine!r}; choose from {', '.join(ENGINES)}")
    if resources.plan not in PLANS:
        raise Misuse(f"unknown --plan {resources.plan!r}; choose from {', '.join(PLANS)}")
    if resources.engine == "serial" and resources.plan in ("probes", "data"):
        raise Misuse(f"--plan {resources.plan} needs several workers, --engine serial has one; leave one of them out")
    if resources.engine == "serial" and (resources.address or (resources.workers or 1) > 1):
        raise Misuse("--engine serial runs in this process; leave --address and --workers out, or give --engine ray")
    device = resources.device
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise Misuse(f"unknown --device {device!r}; choose from auto, cpu, cuda")
    index = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and not _elsewhere(resources) and index >= _visible_gpus():
        raise Misuse(
            f"--device {device} but torch sees {_visible_gpus()} GPU(s) on this machine; give --device cpu, "
            f"or the --address of a cluster that has one"
        )


def _visible_gpus() -> int:
    return torch.cuda.device_count()


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
