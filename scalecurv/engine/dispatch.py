"""The choice between the for loop and the cluster, and the resources each is given."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from scalecurv.engine.attempts import Done, Lost
from scalecurv.engine.pool import Pool, Workers
from scalecurv.engine.serial import run_serial
from scalecurv.engine.session import inside_job, ray_session
from scalecurv.engine.unit import Analyst
from scalecurv.errors import Misuse


@dataclass(frozen=True)
class Resources:
    """Where to run: engine auto|ray|serial, address of a running cluster, and what each worker gets."""

    engine: str = "auto"
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"
    gpus_per_worker: float = 1.0


def run(analyst: Analyst, units: Sequence[str], resources: Resources) -> Iterator[Done | Lost]:
    """Every unit's news as it comes; raises Misuse for resources that are not there, before any unit runs."""
    check_device(resources)
    if chosen_engine(resources, len(units)) == "serial":
        device = serial_device(resources.device)
        yield from run_serial(analyst, units, device, resources.threads or num_cores())
        return
    local_gpus = _visible_gpus() if resources.device != "cpu" else 0
    with ray_session(resources.address, num_cores(), local_gpus) as ray:
        workers = _workers(resources, ray.cluster_resources(), len(units))
        yield from Pool(ray, analyst, workers).run(units)


def chosen_engine(resources: Resources, num_units: int) -> str:
    """`auto` is Ray where there is more than one unit of work and more than one worker to be had."""
    if resources.engine != "auto":
        return resources.engine
    available = resources.workers or (2 if _elsewhere(resources) else max(_visible_gpus(), num_cores()))
    return "ray" if num_units > 1 and available > 1 else "serial"


def _elsewhere(resources: Resources) -> bool:
    """Whether the workers may be on other machines than this process."""
    return resources.engine != "serial" and (resources.address is not None or inside_job())


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


def _workers(resources: Resources, cluster: dict[str, float], num_units: int) -> Workers:
    """One worker a GPU (or share of one), else one a core; an infeasible wish fails here instead of waiting."""
    threads = resources.threads or 1
    cpus, gpus = cluster.get("CPU", 0), cluster.get("GPU", 0)
    wants_gpu = resources.device.startswith("cuda") or (resources.device == "auto" and gpus > 0)
    if wants_gpu and gpus < resources.gpus_per_worker:
        raise Misuse(
            f"--device {resources.device} with {resources.gpus_per_worker:g} GPUs a worker but the Ray cluster has "
            f"{gpus:g}; give --device cpu, or fewer --gpus-per-worker"
        )
    if cpus < threads:
        raise Misuse(f"--threads {threads} but the Ray cluster has {cpus:g} CPUs; give fewer")
    fitting = int(cpus // threads)
    if wants_gpu:
        fitting = min(fitting, int(gpus / resources.gpus_per_worker))
    count = min(resources.workers or fitting, num_units)
    if resources.workers and resources.workers > fitting and num_units > fitting:
        count = fitting  # more would only wait for a place
    return Workers(max(count, 1), threads, resources.gpus_per_worker if wants_gpu else 0.0)
