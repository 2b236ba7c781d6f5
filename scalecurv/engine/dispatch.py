"""The choice between the for loop and the cluster, and the resources that each worker is given."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from scalecurv.checkpoints.load import Checkpoint
from scalecurv.engine.attempts import Done, GivenUp
from scalecurv.engine.data_parallel import DataParallelGroup
from scalecurv.engine.pool import Pool
from scalecurv.engine.serial import run_serial
from scalecurv.engine.session import joining, ray_session
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import UNLIMITED, WorkerSpec, nodes_of
from scalecurv.errors import Misuse
from scalecurv.quantities import AUTO, GPUS_PER_WORKER

PLANS = (AUTO, "checkpoints", "probes", "data")


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

    `first` is the first checkpoint where it has been read already: its cost decides whether probes are shared out.
    """
    check_device(resources)
    if chosen_engine(resources, len(paths)) == "serial":
        device = serial_device(resources.device)
        yield from run_serial(worker, paths, device, resources.threads or num_cores())
        return
    with _ray(resources) as ray:
        nodes = nodes_of(ray)
        spec = spec_for(resources, nodes)
        if resources.plan == "data":
            size = min(spec.fit(nodes), worker.num_data)
            yield from DataParallelGroup(ray, worker, spec, size).run(paths)
            return
        members = workers_per_checkpoint(resources.plan, len(paths), spec.fit(nodes))
        if resources.plan == "auto" and members > 1 and not spec.gpus:  # on GPUs the cost is not known here
            cost = worker.cost(first, "cpu", spec.threads) if first else None
            members = members if cost is not None and cost.worth_splitting(members) else 1
        yield from Pool(ray, worker, replace(spec, per_checkpoint=members)).run(paths)


@contextmanager
def session(resources: Resources) -> Iterator[None]:
    """Keep one connection to Ray open for several runs, where any of them may need it."""
    check_device(resources)
    if chosen_engine(resources, 2) == "serial":
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


def chosen_engine(resources: Resources, num_checkpoints: int) -> str:
    """Return the engine; "auto" is Ray where several workers can be had and there is work for more than one."""
    if resources.engine != "auto":
        return resources.engine
    if _elsewhere(resources):  # this machine may be a head that does no work, or has no GPU
        return "ray"
    available = resources.workers or max(_visible_gpus(), num_cores())
    several = num_checkpoints > 1 or resources.plan in ("probes", "data")
    return "ray" if several and available > 1 else "serial"


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
