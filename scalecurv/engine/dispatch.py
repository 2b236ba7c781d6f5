"""The choice between the for loop and the cluster, and the resources each is given."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from scalecurv.engine.attempts import Done, Lost
from scalecurv.engine.data_parallel import Gang
from scalecurv.engine.pool import Pool
from scalecurv.engine.serial import run_serial
from scalecurv.engine.session import joining, ray_session
from scalecurv.engine.worker import Analyst
from scalecurv.engine.workers import UNLIMITED, Workers, nodes_of
from scalecurv.errors import Misuse

PLANS = ("auto", "checkpoints", "probes", "data")


@dataclass(frozen=True)
class Resources:
    """Where to run: engine auto|ray|serial, address of a running cluster, what each worker gets, how work is split.

    `plan` is what is shared out: "checkpoints", "probes" of one checkpoint, "data", or "auto" by cost.
    """

    engine: str = "auto"
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"
    gpus_per_worker: float = 1.0
    plan: str = "auto"


def run(analyst: Analyst, units: Sequence[str], resources: Resources) -> Iterator[Done | Lost]:
    """Every unit's news as it comes; raises Misuse for resources that are not there, before any unit runs."""
    check_device(resources)
    if chosen_engine(resources, len(units)) == "serial":
        device = serial_device(resources.device)
        yield from run_serial(analyst, units, device, resources.threads or num_cores())
        return
    with _ray(resources) as ray:
        nodes = nodes_of(ray)
        workers = workers_for(resources, nodes)
        if resources.plan == "data":
            size = min(workers.fit(nodes), analyst.num_data)
            yield from Gang(ray, analyst, workers, size).run(units)
            return
        crew = crew_size(resources.plan, len(units), workers.fit(nodes))
        if resources.plan == "auto" and crew > 1 and not workers.gpus:  # on GPUs the cost is not known here
            cost = analyst.cost(units[0], "cpu", workers.threads)
            crew = crew if cost is not None and cost.worth_splitting(crew) else 1
        yield from Pool(ray, analyst, replace(workers, crew=crew)).run(units)


@contextmanager
def session(resources: Resources) -> Iterator[None]:
    """One connection to Ray for several runs, where any of them may need it."""
    check_device(resources)
    if chosen_engine(resources, 2) == "serial":
        yield
        return
    with _ray(resources):
        yield


def _ray(resources: Resources) -> AbstractContextManager[Any]:
    return ray_session(resources.address, num_cores(), _visible_gpus() if resources.device != "cpu" else 0)


def crew_size(plan: str, num_units: int, num_workers: int) -> int:
    """How many workers one checkpoint may have: all of them, those who would be idle else, or one."""
    if plan == "checkpoints":
        return 1
    return max(num_workers if plan in ("probes", "data") else num_workers // num_units, 1)


def chosen_engine(resources: Resources, num_units: int) -> str:
    """`auto` is Ray where there is more than one piece of work and more than one worker to be had."""
    if resources.engine != "auto":
        return resources.engine
    if _elsewhere(resources):  # this machine may be a head that does no work, or has no GPU
        return "ray"
    available = resources.workers or max(_visible_gpus(), num_cores())
    several = num_units > 1 or resources.plan in ("probes", "data")  # pieces of work for several hands
    return "ray" if several and available > 1 else "serial"


def num_workers_here(resources: Resources) -> int | None:
    """How many workers a cluster of this machine would hold; None where the cluster is another."""
    if _elsewhere(resources):
        return resources.workers
    node = {"CPU": float(num_cores()), "GPU": float(_visible_gpus() if resources.device != "cpu" else 0)}
    return workers_for(resources, [node]).fit([node])


def _elsewhere(resources: Resources) -> bool:
    """Whether the workers may be on other machines than this process."""
    return resources.engine != "serial" and joining(resources.address) is not None


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serial_device(device: str) -> str:
    """cuda:0 if there is one, unless asked otherwise."""
    if device == "auto":
        return "cuda:0" if _visible_gpus() else "cpu"
    return "cuda:0" if device == "cuda" else device


def check_device(resources: Resources) -> None:
    """Raise Misuse for a device that this machine does not have, or options that contradict the engine."""
    if resources.plan not in PLANS:
        raise Misuse(f"unknown --plan {resources.plan!r}; choose from {', '.join(PLANS)}")
    if resources.engine == "serial" and resources.plan in ("probes", "data"):
        raise Misuse(f"--plan {resources.plan} shares work out, --engine serial has nobody to; leave one of them out")
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


def workers_for(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> Workers:
    """One worker a GPU (or share of one), else one a core; raises Misuse for what no node has, instead of waiting."""
    threads = resources.threads or 1
    wants_gpu = resources.device.startswith("cuda") or (
        resources.device == "auto" and any(node.get("GPU", 0) for node in nodes)
    )
    workers = Workers(resources.workers or UNLIMITED, threads, resources.gpus_per_worker if wants_gpu else 0.0)
    if workers.fit(nodes):
        return workers
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
    if wants_gpu and most["GPU"] < resources.gpus_per_worker:
        raise Misuse(
            f"--device {resources.device} with {resources.gpus_per_worker:g} GPUs a worker but no node of the Ray "
            f"cluster has more than {most['GPU']:g}; give --device cpu, or fewer --gpus-per-worker"
        )
    raise Misuse(
        f"--threads {threads} but no node of the Ray cluster has more than {most['CPU']:g} CPUs for workers; give fewer"
    )
