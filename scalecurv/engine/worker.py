"""One checkpoint from its path to an Outcome: what a worker does, wherever it runs."""

import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from scalecurv.analysis import Identity, Request, analyze
from scalecurv.checkpoints.load import Checkpoint, stamp_of
from scalecurv.checkpoints.step import run_of, step_and_epoch
from scalecurv.checkpoints.task import Arithmetic, Task, compute_dtype
from scalecurv.engine.cost import Cost, cost_of
from scalecurv.engine.shared_probes import Crew
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.measures.evaluation import Make, Terms, run_here
from scalecurv.problem.graphs import backend_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.shard import Shard
from scalecurv.record import Outcome

PACKAGES = ("scalecurv", "ray", "numpy", "scipy", "h5py")


def versions() -> dict[str, str]:
    """Versions of what took part, the host, and the git revision where the package runs from a checkout."""
    found = {package: version(package) for package in PACKAGES}
    return {**found, "python": platform.python_version(), "host": platform.node(), "git": _revision()}


def _revision() -> str:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


# path, fingerprint, dtype and pattern of the free parameters: where another worker takes products
Point = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class Analyst:
    """Everything a worker must be told once: the task, the request, the keys that are known already."""

    task: Task
    request: Request
    arithmetic: Arithmetic
    known: frozenset[str] = frozenset()
    shard: Shard | None = None

    def on(self, device: str, threads: int, shard: Shard | None = None) -> "Desk":
        """Where paths become Outcomes, on the device that this worker was assigned."""
        torch.set_num_threads(threads)
        coarse = self.arithmetic.dtype == "tf32"  # 10 bits of mantissa, only where asked: see noise_floor
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = coarse
        return Desk(replace(self, arithmetic=replace(self.arithmetic, device=device), shard=shard))

    @property
    def num_data(self) -> int:
        """Samples in all, whoever holds them."""
        return len(self.task.x)

    def outcome(self, path: Path, crew: Crew | None = None) -> Outcome:
        """What the measures find at one checkpoint; raises CheckpointError, Misuse."""
        checkpoint = self._load(path)
        problem, architecture = self.task.at(checkpoint, self.arithmetic, self.shard)
        dtype = compute_dtype(checkpoint, self.arithmetic)
        identity = Identity(checkpoint.fingerprint, self.task.id, dtype)
        run_terms = crew.run_terms(str(path), checkpoint.fingerprint) if crew else run_here
        records, total_matvecs = analyze(problem, self.request, identity, self.known, run_terms)
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
            provenance={**self._provenance(), "differentiation": backend_of(problem).name},
            created=time.time(),
        )

    def _load(self, path: Path) -> Checkpoint:
        """Read a checkpoint; where the data is shared, all ranks hold the same weights, or all of them raise."""
        shard, checkpoint, reason = self.shard or Shard(), None, None
        try:
            checkpoint = self.task.load(path)
        except CheckpointError as error:
            reason = str(error)
        if wrong := shard.first(reason):
            raise CheckpointError(wrong)
        assert checkpoint is not None
        if not shard.agree(checkpoint.fingerprint):
            raise CheckpointError(f"{path} changed while its ranks read it; run again once it is written")
        return checkpoint

    def cost(self, path: str, device: str, threads: int) -> Cost | None:
        """What this checkpoint may cost, measured in this process; None where it cannot be analysed."""
        torch.set_num_threads(threads)
        try:
            with _memory_errors():
                problem, _ = self.task.at(self.task.load(Path(path)), replace(self.arithmetic, device=device))
                return cost_of(problem, self.request)
        except (CheckpointError, Misuse, FloatingPointError, MemoryError):
            return None

    def failure(self, path: str, reason: str) -> Outcome:
        """The Outcome of a checkpoint that cannot be analysed."""
        return replace(failure(path, reason, self.task.id, self.request.seed), provenance=self._provenance())

    def _provenance(self) -> dict[str, Any]:
        return {
            **_surroundings(self.arithmetic.device),
            "threads": torch.get_num_threads(),
            **({"ranks": self.shard.size} if self.shard else {}),
            "config": {
                "batch_size": self.arithmetic.batch_size,
                "memory": self.arithmetic.memory,
                "seed": self.request.seed,
                "measures": {m.name: m.options for m in self.request.measures},
            },
        }


class Desk:
    """An analyst at work on one device: a path comes, an Outcome goes; or rows of probes, for a colleague."""

    def __init__(self, analyst: Analyst):
        self._analyst = analyst
        self._helped: tuple[str, str] | None = None  # path and fingerprint of the checkpoint last helped with
        self._problems: dict[tuple[str, str | None], Problem] = {}  # it, by dtype and free parameters

    def __call__(self, path: str, crew: Crew | None = None) -> Outcome:
        """The Outcome at one path; raises MemoryError, and whatever is a bug."""
        try:
            with _memory_errors():
                return self._analyst.outcome(Path(path), crew)
        except (CheckpointError, Misuse) as error:
            return self._analyst.failure(path, str(error))

    def rows(self, point: Point, make: Make, terms: Terms, seed: int, blocks: Sequence[range]) -> list[Any]:
        """Terms at the checkpoint that another worker leads; raises CheckpointError where the file is not the same."""
        path, fingerprint, dtype, params = point
        with _memory_errors():
            if self._helped != (path, fingerprint):
                self._helped, self._problems = None, {}
                checkpoint = self._analyst.task.load(Path(path))
                if checkpoint.fingerprint != fingerprint:
                    raise CheckpointError(f"{path} changed while it was analysed; run again once it is written")
                problem, _ = self._analyst.task.at(checkpoint, self._analyst.arithmetic)
                self._helped, self._problems = (path, fingerprint), {(str(problem.dtype), None): problem}
            if (dtype, params) not in self._problems:
                whole = next(iter(self._problems.values()))
                self._problems[dtype, params] = whole.astype(getattr(torch, dtype[6:])).restricted(params)
            return run_here(self._problems[dtype, params], make, terms, seed, blocks)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Every way in which memory runs out, as MemoryError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error).splitlines()[0]) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # how torch's CPU allocator says it
            raise MemoryError(str(error).splitlines()[0]) from error
        raise


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
    path = torch.backends.cpu.get_cpu_capability()  # bitwise equality holds on equal ones only
    return {**versions(), "torch": torch.__version__, "device": name, "cpu_capability": path}
