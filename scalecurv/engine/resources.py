"""The engine, the device and the plan that a request asks for, and what this machine has of them."""

import re
from dataclasses import dataclass

import torch

from scalecurv.engine.session import joining
from scalecurv.errors import Misuse
from scalecurv.problem.readiness import memory_on
from scalecurv.quantities import AUTO, GPUS_PER_WORKER

ENGINES = (AUTO, "ray", "serial")
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
    if device.startswith("cuda") and not elsewhere(resources) and index >= visible_gpus():
        raise Misuse(
            f"--device {device} but torch sees {visible_gpus()} GPU(s) on this machine; give --device cpu, "
            f"or the --address of a cluster that has one"
        )


def elsewhere(resources: Resources) -> bool:
    """Return whether the workers may be on other machines than this process."""
    return resources.engine != "serial" and joining(resources.address) is not None


def serial_device(device: str) -> str:
    """Return the device of the for loop: "auto" is cuda:0 where there is a GPU."""
    if device == "auto":
        return "cuda:0" if visible_gpus() else "cpu"
    return "cuda:0" if device == "cuda" else device


def visible_gpus() -> int:
    return torch.cuda.device_count()


def memory_of(resources: Resources) -> int:
    """Return the bytes of `memory` where none are given: a quarter of this machine's, or of its GPU's if that is less.

    It depends neither on the engine nor on the number of workers: all of them compute the same numbers.
    """
    on_gpu = resources.device != "cpu" and visible_gpus() > 0
    return memory_on(torch.device(serial_device(resources.device) if on_gpu else "cpu"))
