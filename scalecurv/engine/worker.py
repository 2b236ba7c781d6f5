"""One checkpoint from its path to an Outcome: the work of a worker, wherever it runs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scalecurv.analysis import Analysis, Identity, Request, records_of
from scalecurv.checkpoints.load import Checkpoint, stamp_of
from scalecurv.checkpoints.step import run_of, step_and_epoch
from scalecurv.checkpoints.task import Arithmetic, Task, compute_dtype
from scalecurv.engine.cost import Cost, cost_of
from scalecurv.engine.provenance import surroundings
from scalecurv.engine.shared_probes import SharedProbes
from scalecurv.engine.threads import Threads, faster_threads
from scalecurv.errors import CheckpointError, Misuse, first_line, is_memory
from scalecurv.measures.evaluation import Make, RunTerms, Terms, run_here
from scalecurv.measures.meter import Meter
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.products import differentiation
from scalecurv.problem.problem import Problem
from scalecurv.problem.shard import Shard
from scalecurv.record import Outcome, Stored, Tell

# path, fingerprint, dtype and pattern of the free parameters: where another worker takes products
Point = tuple[str, str, str, str | None]


@dataclass
class _Helped:
    """The checkpoint that a worker last helped with, and its problem by dtype and free parameters."""

    name: tuple[str, str] | None = None  # path and fingerprint
    problems: dict[tuple[str, str | None], Problem] = field(default_factory=dict)


@dataclass(frozen=True)
class Worker:
    """The analysis of checkpoints on one device, for a task, a request and what is stored already, by key.

    A worker is pickled to where it works, and placed there by `on`. It takes the path of a checkpoint and returns its
    Outcome, or takes blocks of probes and returns their rows to the worker that leads a checkpoint.
    """

    task: Task
    request: Request
    arithmetic: Arithmetic
    known: Mapping[str, Stored] = field(default_factory=dict)
    shard: Shard | None = None
    threads_reason: str = ""
    _read: dict[str, Checkpoint] = field(default_factory=dict, repr=False, compare=False)
    _helped: _Helped = field(default_factory=_Helped, init=False, repr=False, compare=False)

    def on(self, device: str, threads: int, shard: Shard | None = None, why: str = "") -> "Worker":
        """Return the same worker on the device that it was assigned, in this process, with its share of the data."""
        torch.set_num_threads(threads)
        coarse = self.arithmetic.dtype == "tf32"  # 10 bits of mantissa, only where asked: see noise_floor
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = coarse
        return replace(self, arithmetic=replace(self.arithmetic, device=device), shard=shard, threads_reason=why)

    def having(self, checkpoint: Checkpoint) -> "Worker":
        """Return the same worker, which need not read this checkpoint again in its first attempt."""
        return replace(self, _read={str(checkpoint.path): checkpoint})

    @property
    def num_data(self) -> int:
        """Return the number of samples in all, on whichever ranks they are."""
        return self.task.num_data

    def __call__(self, path: str, shared: SharedProbes | None = None, tell: Tell | None = None) -> Outcome:
        """Return the Outcome at one path; raise MemoryError, and any exception that is a bug.

        `tell` is told what is computed, now and then.
        """
        began = time.perf_counter()
        try:
            with _memory_errors():
                outcome = self._outcome(Path(path), shared, Meter(path, tell) if tell else None)
        except (CheckpointError, Misuse) as error:
            failed = failure(path, str(error), self.task.id, self.request.seed)
            outcome = replace(failed, provenance=self._provenance())
        return replace(outcome, seconds=time.perf_counter() - began)

    def rows(self, point: Point, make: Make, terms: Terms, seed: int, blocks: Sequence[range]) -> list[Any]:
        """Return the terms at a checkpoint that another worker leads; raise CheckpointError where the file changed."""
        path, fingerprint, dtype, params = point
        helped = self._helped
        with _memory_errors():
            if helped.name != (path, fingerprint):
                helped.name, helped.problems = None, {}
                checkpoint = self.task.load(Path(path))
                if checkpoint.fingerprint != fingerprint:
                    raise CheckpointError(f"{path} changed while it was analysed; run again once it is written")
                problem, _ = self.task.at(checkpoint, self.arithmetic)
                helped.name, helped.problems = (path, fingerprint), {(str(problem.dtype), None): problem}
            if (dtype, params) not in helped.problems:
                whole = next(iter(helped.problems.values()))
                helped.problems[dtype, params] = whole.astype(getattr(torch, dtype[6:])).restricted(params)
            return run_here(helped.problems[dtype, params], make, terms, seed, blocks)

    def cost(self, checkpoint: Checkpoint, device: str, threads: int) -> Cost | None:
        """Return the most that a checkpoint may cost, measured in this process; None where it cannot be analysed."""
        torch.set_num_threads(threads)
        try:
            with _memory_errors():
                problem, _ = self.task.at(checkpoint, replace(self.arithmetic, device=device))
                return cost_of(problem, self.request)
        except (CheckpointError, Misuse, FloatingPointError, MemoryError):
            return None

    def faster_threads(self, checkpoint: Checkpoint, most: int) -> Threads | None:
        """Return one thread or `most`, whichever is faster at a checkpoint; None where it cannot be analysed."""
        try:
            with _memory_errors():
                problem, _ = self.task.at(checkpoint, replace(self.arithmetic, device="cpu"))
                problem = problem.restricted(self.request.measures[0].params)
                H, v = HessianOperator(problem), torch.ones(problem.num_params, 1, dtype=problem.dtype)
                return faster_threads(lambda: H.matmat(v), most)
        except (CheckpointError, Misuse, FloatingPointError, MemoryError):
            return None

    def refusal(self, path: str) -> str:
        """Return why a checkpoint would fail before its measures begin; "" where it would not.

        The file is read, the model built, and the loss, the gradient and products are checked, as in every analysis.
        """
        try:
            with _memory_errors():
                analysis = Analysis(self.task.at(self._load(Path(path)), self.arithmetic)[0], self.request.seed)
                for measure in self.request.measures:
                    measure.check(analysis.evaluation(measure.params).problem)
        except (CheckpointError, Misuse, FloatingPointError, OverflowError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            return reason if path in reason else f"{path}: {reason}"
        return ""

    def _outcome(self, path: Path, shared: SharedProbes | None, meter: Meter | None) -> Outcome:
        """Return what the measures find at one checkpoint; raise CheckpointError, Misuse."""
        checkpoint = self._load(path)
        problem, architecture = self.task.at(checkpoint, self.arithmetic, self.shard)
        dtype = compute_dtype(checkpoint, self.arithmetic)
        identity = Identity(checkpoint.fingerprint, self.task.id, dtype)
        hear = meter.products if meter else None
        run_terms: RunTerms = partial(run_here, hear=hear)
        if shared:
            run_terms = shared.run_terms(str(path), checkpoint.fingerprint, hear)
        records, total_matvecs = records_of(problem, self.request, identity, self.known, run_terms, meter)
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
            quantities=self.request.own_quantities,
            provenance={**self._provenance(), "differentiation": differentiation(problem), "columns": problem.columns},
            created=time.time(),
        )

    def _load(self, path: Path) -> Checkpoint:
        """Return a checkpoint; where data is spread over ranks, all hold the same one, or all raise CheckpointError."""
        shard, checkpoint, reason = self.shard or Shard(), None, None
        try:
            read = self._read.pop(str(path), None)
            fresh = read is not None and read.stamp == stamp_of(path, self.task.spec.weights, self.task.spec.ignore)
            checkpoint = read if fresh else self.task.load(path)
        except CheckpointError as error:
            reason = str(error)
        if wrong := shard.first(reason):
            raise CheckpointError(wrong)
        assert checkpoint is not None
        if not shard.agree(checkpoint.fingerprint):
            raise CheckpointError(f"{path} changed while its ranks read it; run again once it is written")
        return checkpoint

    def _provenance(self) -> dict[str, Any]:
        return {
            **surroundings(self.arithmetic.device),
            "threads": torch.get_num_threads(),
            **({"threads_reason": self.threads_reason} if self.threads_reason else {}),
            **({"ranks": self.shard.size} if self.shard else {}),
            "config": {
                "batch_size": self.arithmetic.batch_size,
                "memory": self.arithmetic.memory,
                "seed": self.request.seed,
                "measures": {m.name: m.settings for m in self.request.measures},
            },
        }


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raise every error by which memory runs out as MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or is_memory(error):
            raise MemoryError(first_line(error)) from error
        raise


def failure(path: str, reason: str, task_id: str, seed: int) -> Outcome:
    """Return the failed Outcome of a checkpoint of which only the path and the reason of the failure are known."""
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
