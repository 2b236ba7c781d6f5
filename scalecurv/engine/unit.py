"""One checkpoint from its path to an Outcome: what a worker does, wherever it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from scalecurv.analysis import Identity, Request, analyze
from scalecurv.checkpoints.load import load, stamp_of
from scalecurv.checkpoints.step import run_of, step_and_epoch
from scalecurv.checkpoints.task import Arithmetic, Task, compute_dtype
from scalecurv.engine.provenance import versions
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.record import Outcome


@dataclass(frozen=True)
class Analyst:
    """Everything a worker must be told once: the task, the request, the keys that are known already."""

    task: Task
    request: Request
    arithmetic: Arithmetic
    known: frozenset[str] = frozenset()

    def on(self, device: str, threads: int) -> Callable[[str], Outcome]:
        """The function path -> Outcome, on the device that this worker was assigned."""
        torch.set_num_threads(threads)
        coarse = self.arithmetic.dtype == "tf32"  # 10 bits of mantissa, only where asked: see noise_floor
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = coarse
        bound = replace(self, arithmetic=replace(self.arithmetic, device=device))
        return bound._analyse

    def _analyse(self, path: str) -> Outcome:
        try:
            return self._outcome(Path(path))
        except (CheckpointError, Misuse) as error:
            return self._failure(path, str(error))
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error).splitlines()[0]) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # how torch's CPU allocator says it
                raise MemoryError(str(error).splitlines()[0]) from error
            raise

    def _outcome(self, path: Path) -> Outcome:
        checkpoint = load(path)
        problem, architecture = self.task.at(checkpoint, self.arithmetic)
        dtype = compute_dtype(checkpoint, self.arithmetic)
        identity = Identity(checkpoint.fingerprint, self.task.id, dtype)
        records, total_matvecs = analyze(problem, self.request, identity, self.known)
        return Outcome(
            path=str(path),
            run=run_of(path),
            status="partial" if any(record.failed for record in records) else "ok",
            stamp=checkpoint.stamp,
            fingerprint=checkpoint.fingerprint,
            step=checkpoint.step,
            epoch=checkpoint.epoch,
            num_params=problem.num_params,
            architecture=architecture,
            dtype=dtype,
            own_dtype=compute_dtype(checkpoint, Arithmetic()),
            task_id=self.task.id,
            task=self.task.describe(problem.num_outputs),
            seed=self.request.seed,
            total_matvecs=total_matvecs,
            records=records,
            provenance=self._provenance(),
            created=time.time(),
        )

    def _failure(self, path: str, reason: str) -> Outcome:
        return replace(failure(path, reason, self.task.id, self.request.seed), provenance=self._provenance())

    def _provenance(self) -> dict[str, Any]:
        return {
            **_surroundings(self.arithmetic.device),
            "threads": torch.get_num_threads(),
            "config": {
                "batch_size": self.arithmetic.batch_size,
                "memory": self.arithmetic.memory,
                "seed": self.request.seed,
                "measures": {m.name: m.options for m in self.request.measures},
            },
        }


def failure(path: str, reason: str, task_id: str, seed: int) -> Outcome:
    """The outcome of a checkpoint of which nothing is known but its name and what went wrong."""
    step, epoch = step_and_epoch({}, Path(path).stem, Path(path).parent.name)
    try:
        stamp = stamp_of(Path(path))
    except CheckpointError:
        stamp = None
    return Outcome(
        path=path,
        run=run_of(Path(path)),
        status="failed",
        error=reason,
        stamp=stamp,
        step=step,
        epoch=epoch,
        task_id=task_id,
        seed=seed,
        created=time.time(),
    )


@cache
def _surroundings(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    return {**versions(), "torch": torch.__version__, "device": name}
