"""Curvature while a loop trains: a function of the model and the step that never disturbs the training."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from scalecurv.callbacks.asked import PREFIX, Asked, attributes_of, check_options, moment_of, numbers_of, run_named
from scalecurv.callbacks.budget import Budget
from scalecurv.callbacks.networks import unwrapped_model
from scalecurv.callbacks.outcomes import Moment, append, begin, failure_of, measured, outcome_of
from scalecurv.callbacks.points import Points, points_of
from scalecurv.callbacks.undisturbed import undisturbed
from scalecurv.checkpoints.task import Arithmetic
from scalecurv.display import Described
from scalecurv.errors import CheckpointError, Misuse, StoreError, is_memory, kind_and_line
from scalecurv.machine import allowed
from scalecurv.measures.named import Named
from scalecurv.quantities import MAX_MATVECS, SEED
from scalecurv.samples.stream import fetched
from scalecurv.statistics.estimate import Estimate

logger = logging.getLogger(__name__)

EVERY, SHARE, RTOL, MAX_SAMPLES, MEASURES = 100, 0.05, 0.1, 1000, ("trace", "lambda_max")
_EXPECTED = (Misuse, CheckpointError, StoreError, FloatingPointError, OverflowError, MemoryError)
Log = Callable[[dict[str, float], int], object]


class Monitor(Described):
    """Measure curvature every few steps of a training loop: call monitor(model, step) after optimizer.step().

    The call returns None at steps that are not measured, else a dict of Estimates by the name of the quantity: those in
    `measures`, which are names of quantities or measures. It measures the loss over at most `max_samples` samples of
    `data`, which `seed` draws once, as L(theta) of `scalecurv.Problem`, in eval mode, in float32 (or the model's
    float64, or `dtype`) and without autocast. `data`, `loss`, `reduction`, `weight_decay`, `device`, `batch_size` and
    `memory` are those of a Problem; `data` may also be a file, or user code, as `scalecurv.sweep` takes it.

    A step is measured where a multiple of `every` has come since the last call, and where the share of time for
    measurements stays within `budget`: (spent + last) / (all + last). The first one is always taken; None measures at
    all multiples. So time decides whether a step is measured, and never what a number is.

    Training goes on bit for bit as without it: weights, optimizer, gradients, buffers, modes and random streams stay.
    Whatever fails in a measurement is logged as a warning and stored as a failed step, and training goes on; Ctrl-C
    passes. In a distributed training rank 0 alone measures.

    `logger(values, step)` is called with numbers by names: curvature/trace, curvature/trace_lower and
    curvature/trace_upper, after `prefix`. With a `store`, each measurement is appended to it as run/step_N, with the
    `attributes` of the run (learning rate). With `activation` (of a plain MLP) or `model` (a factory, pkg.mod:name) and
    a loss by name, keys are those of `scalecurv analyze`, which then finds the measurements done at saved checkpoints.

    Raises Misuse for arguments that cannot be carried out, and for data that cannot be read.

    Example:
        >>> import torch
        >>> from scalecurv.callbacks import Monitor
        >>> x, y = torch.eye(3), torch.arange(3)
        >>> model = torch.nn.Linear(3, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> monitor = Monitor((x, y), "cross_entropy", measures="trace", every=2, budget=None)
        >>> for step in range(4):
        ...     optimizer.zero_grad()
        ...     torch.nn.functional.cross_entropy(model(x), y).backward()
        ...     optimizer.step()
        ...     if found := monitor(model, step):
        ...         print(step, list(found))
        0 ['trace']
        2 ['trace']
        >>> monitor.measured, monitor.skipped, monitor.failed
        (2, 0, 0)
    """

    def __init__(
        self,
        data: Any,
        loss: Any = "cross_entropy",
        *,
        measures: Named | Iterable[Named] = MEASURES,
        every: int = EVERY,
        budget: float | None = SHARE,
        rtol: float = RTOL,
        max_matvecs: int = MAX_MATVECS,
        max_samples: int | None = MAX_SAMPLES,
        seed: int = SEED,
        logger: Log | None = None,
        prefix: str = PREFIX,
        store: str | os.PathLike[str] | None = None,
        run: str | os.PathLike[str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        model: str | Callable[[], nn.Module] | None = None,
        activation: str | None = None,
        reduction: Literal["mean", "sum"] | None = None,
        weight_decay: float = 0.0,
        dtype: Literal["float32", "float64"] | None = None,
        device: torch.device | str | None = None,
        batch_size: int | None = None,
        memory: int | None = None,
    ):
        numbers = {"rtol": rtol, "max_matvecs": max_matvecs, "max_samples": max_samples}
        check_options(every, budget, seed, dtype, {**numbers, "batch_size": batch_size, "memory": memory})
        if logger is not None and not callable(logger):
            raise Misuse(
                f"logger is of type {type(logger).__name__}; give a function of (dict, step), such as wandb.log"
            )
        self.every, self._log, self._prefix, self._device = every, logger, prefix, device
        self._asked = Asked.of(measures, seed, rtol=rtol, max_matvecs=max_matvecs, memory=allowed(memory))
        self._arithmetic = Arithmetic(dtype, "cpu", batch_size, allowed(memory))
        self.store = None if store is None else Path(os.path.abspath(Path(store).expanduser()))
        self.run = run_named(run, self.store)
        with undisturbed(seed):
            self._points: Points = points_of(
                data,
                loss,
                model,
                activation,
                reduction,
                weight_decay,
                max_samples,
                seed,
                memory,
                self.store is not None,
            )
        self._attributes = attributes_of(attributes)
        if self.store is not None and _leads():
            begin(self.store, self.run, self._attributes)
        self._budget = Budget(budget)
        self.measured = self.skipped = self.failed = 0
        self._last: int | None = None  # the step of the last call
        self._told: set[str] = set()

    def __call__(self, model: nn.Module, step: int, *, epoch: float | None = None) -> dict[str, Estimate] | None:
        """Return the estimates at this step, None where it is not measured; the first positional argument is trained.

        `step` counts the updates so far, and `epoch` is stored with it. A step that was the last one already, as in the
        accumulation of gradients, is not measured again.
        """
        if not _leads():
            return None
        step, epoch = moment_of(step, epoch)
        if not self._due(step):
            return None
        if not self._budget.allows():
            self.skipped += 1
            self._say_once(
                "skipped",
                "step %d is not measured: with it, measurements would take more than budget=%g of the time; later "
                "steps are measured once they do not, and monitor.skipped counts",
                step,
                self._budget.share,
            )
            return None
        with self._budget:
            return self._guarded(model, Moment(self.run, step, epoch))

    def _due(self, step: int) -> bool:
        """Return True where a multiple of `every` has come since the last call."""
        last = step - 1 if self._last is None or step < self._last else self._last
        self._last = step
        return step // self.every != last // self.every

    def _guarded(self, model: nn.Module, moment: Moment) -> dict[str, Estimate] | None:
        """Return the estimates; log and store why there are none."""
        try:
            with undisturbed(self._asked.request.seed):
                found = self._measured(model, moment)
        except Exception as error:  # days of training are worth more than a number, whatever went wrong
            self.failed += 1
            self._tell(error, moment)
            return None
        self.measured += 1
        if self._log is not None:
            self._report(self._log, found, moment.step)
        return found

    def _measured(self, model: nn.Module, moment: Moment) -> dict[str, Estimate]:
        network, request = unwrapped_model(model), self._asked.request
        first = next(network.parameters(), torch.empty(0))  # without parameters the problem says so
        device = first.device if self._device is None else self._device
        arithmetic = replace(self._arithmetic, device=str(device))
        point = self._points.at(network, arithmetic, moment.path)
        records, total = measured(point, request)
        if self.store is not None:
            append(self.store, outcome_of(moment, point, request, arithmetic, records, total))
        return self._asked.chosen(records)

    def _tell(self, error: Exception, moment: Moment) -> None:
        """Log a failure, with its trace where it is a bug, and store it."""
        expected = isinstance(error, _EXPECTED) or is_memory(error) or isinstance(error, torch.OutOfMemoryError)
        reason = (str(error) if str(error) else type(error).__name__) if expected else kind_and_line(error)
        if reason not in self._told:
            self._told.add(reason)
            logger.warning(
                "curvature at step %d is not measured, and training goes on: %s",
                *(moment.step, reason),
                exc_info=None if expected else error,
            )
        if self.store is None or isinstance(error, StoreError):
            return
        try:
            arithmetic = self._arithmetic
            append(self.store, failure_of(moment, reason, self._points.id, self._asked.request, arithmetic))
        except StoreError as full:
            self._tell(full, moment)

    def _report(self, log: Log, found: Mapping[str, Estimate], step: int) -> None:
        """Hand the numbers to the logger; where it raises, as without a network, say so and go on."""
        values = numbers_of(found, self._prefix)
        try:
            fetched("logger", lambda: log(values, step))
        except Misuse as error:
            self._say_once(str(error), "%s; the measurements of step %d are not logged there", error, step)

    def _say_once(self, what: str, line: str, *parts: object) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning(line, *parts)

    @property
    def _facts(self) -> dict[str, str]:
        share = self._budget.share
        counts = f"{self.measured} measured, {self.skipped} skipped, {self.failed} failed"
        spent = f"{self._budget.spent:.3g} s" + ("" if share is None else f" of at most {share:.3g} of the time")
        return {
            "measures": ", ".join(sorted(self._asked.names)),
            "every": str(self.every),
            "steps": counts,
            "spent": spent,
        }


def _leads() -> bool:
    """Return True in the process that measures: the only one, or rank 0 of a distributed training."""
    ranks = torch.distributed
    return not (ranks.is_available() and ranks.is_initialized()) or ranks.get_rank() == 0
