"""The measurements of a moment as an Outcome of the store, under a label that stands for the weights."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scalecurv.analysis import Identity, Request, records_of
from scalecurv.callbacks.points import Point
from scalecurv.checkpoints.run_attributes import Value
from scalecurv.checkpoints.task import Arithmetic
from scalecurv.engine.provenance import surroundings
from scalecurv.operators.products import differentiation
from scalecurv.record import Outcome, Record
from scalecurv.store.compact import compact_if_many
from scalecurv.store.labels import TICK, LabelChanges, run_row, stored_attributes, write_labels
from scalecurv.store.reader import read_store
from scalecurv.store.writer import prepare_store, write_part


@dataclass(frozen=True)
class Moment:
    """The time of a measurement in a run: `path` is a label, run/step_N, under which there is no file."""

    run: str
    step: int
    epoch: float | None = None

    @property
    def path(self) -> str:
        """The label of the weights of this moment."""
        return str(Path(self.run) / f"step_{self.step}")


def measured(point: Point, request: Request) -> tuple[tuple[Record, ...], int]:
    """Return the records of all measures at a point, and the products taken; raises as `Analysis.compute` does."""
    return records_of(point.problem, request, Identity(point.fingerprint, point.task_id, point.dtype))


def outcome_of(
    moment: Moment, point: Point, request: Request, arithmetic: Arithmetic, records: tuple[Record, ...], total: int
) -> Outcome:
    """Return the Outcome that an analysis of these weights has, without the state of a file."""
    return Outcome(
        path=moment.path,
        run=moment.run,
        status="partial" if any(record.failed for record in records) else "ok",
        fingerprint=point.fingerprint,
        step=moment.step,
        epoch=moment.epoch,
        num_params=point.problem.num_params,
        architecture=point.architecture,
        dtype=point.dtype,
        own_dtype=point.own_dtype,
        task_id=point.task_id,
        task=point.task,
        seed=request.seed,
        total_matvecs=total,
        records=records,
        quantities=request.own_quantities,
        provenance={
            **_provenance(request, arithmetic),
            "differentiation": differentiation(point.problem),
            "columns": point.problem.columns,
        },
        created=time.time(),
    )


def failure_of(moment: Moment, reason: str, task_id: str, request: Request, arithmetic: Arithmetic) -> Outcome:
    """Return the failed Outcome of a moment."""
    return Outcome(
        path=moment.path,
        run=moment.run,
        status="failed",
        error=reason,
        step=moment.step,
        epoch=moment.epoch,
        task_id=task_id,
        seed=request.seed,
        provenance=_provenance(request, arithmetic),
        created=time.time(),
    )


def _provenance(request: Request, arithmetic: Arithmetic) -> dict[str, Any]:
    return {
        **surroundings(arithmetic.device),
        "threads": torch.get_num_threads(),
        "config": {
            "batch_size": arithmetic.batch_size,
            "memory": arithmetic.memory,
            "seed": request.seed,
            "measures": {m.name: m.settings for m in request.measures},
        },
    }


def begin(store: Path, run: str, attributes: dict[str, Value]) -> None:
    """Make the store, and add the attributes of the run to those that it has; raises Misuse, StoreError."""
    prepare_store(store)
    if not attributes:
        return
    stored, created = stored_attributes(read_store(store).tables)
    now = max(time.time(), created.get(run, 0) + TICK)
    write_labels(store, LabelChanges(runs=(run_row(run, {**stored.get(run, {}), **attributes}, now),)))


def append(store: Path, outcome: Outcome) -> None:
    """Commit an outcome as a part of the store; raises StoreError where it cannot be written."""
    write_part(store, outcome)
    compact_if_many(store)
