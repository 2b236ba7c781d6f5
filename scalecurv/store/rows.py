"""The conversion of an Outcome into rows of the store's tables."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from scalecurv.quantities import Quantity
from scalecurv.record import Outcome, Record, digest
from scalecurv.store.frames import Tables, frame_of
from scalecurv.store.schema import ADDED, NO_STEP, TABLES

_NOT_GIVEN = {column: value for (table, column), (_, value) in ADDED.items() if table == "tasks"}


def rows_of(outcome: Outcome) -> Tables:
    """Return one checkpoint row, the rows of its records, and the task, provenance and file that they refer to."""
    provenance = _provenance(outcome)
    shared = {
        "fingerprint": outcome.fingerprint,
        "task_id": outcome.task_id,
        "dtype": outcome.dtype,
        "seed": outcome.seed,
        "attempt": outcome.attempt,
        "provenance_id": provenance["provenance_id"],
        "created": outcome.created,
    }
    rows: dict[str, list[dict[str, Any]]] = {
        "checkpoints": [] if outcome.status == "twin" else [_checkpoint(outcome)],
        "estimates": [{**shared, **row} for record in outcome.records for row in _estimates(record)],
        "arrays": [{**shared, **row} for record in outcome.records for row in _arrays(record)],
        "tasks": [{"task_id": outcome.task_id, **_NOT_GIVEN, **outcome.task}] if outcome.task else [],
        "provenance": [provenance],
        "files": [],
        "runs": [],
        "moves": [],
        "quantities": [_quantity(quantity, measure) for quantity, measure in outcome.quantities],
    }
    if outcome.stamp is not None and outcome.fingerprint:
        stamp = outcome.stamp
        rows["files"].append(
            {
                "path": stamp.path,
                "size": stamp.size,
                "mtime_ns": stamp.mtime_ns,
                "inode": stamp.inode,
                "fingerprint": outcome.fingerprint,
                "dtype": outcome.own_dtype,
                "created": outcome.created,
            }
        )
    return {
        name: frame_of(
            {
                c.name: [storable(row[c.name]) if c.kind == "text" else row[c.name] for row in rows[name]]
                for c in columns
            },
            columns,
        )
        for name, columns in TABLES.items()
    }


def storable(text: str) -> str:
    """Return text that HDF5 can hold: names in damaged files may contain NUL, and paths bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _quantity(quantity: Quantity, measure: str) -> dict[str, Any]:
    facts = asdict(quantity)
    return {**facts, "quantity": facts.pop("name"), "measure": measure}


def _checkpoint(outcome: Outcome) -> dict[str, Any]:
    return {
        "path": outcome.path,
        "run": outcome.run,
        "fingerprint": outcome.fingerprint,
        "architecture": outcome.architecture,
        "dtype": outcome.dtype,
        "task_id": outcome.task_id,
        "status": outcome.status,
        "error": outcome.error,
        "step": NO_STEP if outcome.step is None else outcome.step,
        "num_params": outcome.num_params,
        "seed": outcome.seed,
        "total_matvecs": outcome.total_matvecs,
        "attempt": outcome.attempt,
        "epoch": np.nan if outcome.epoch is None else outcome.epoch,
        "created": outcome.created,
    }


def _estimates(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "key": record.key,
            "measure": record.measure,
            "version": record.version,
            "quantity": quantity,
            "component": component,
            "value": e.value,
            "stderr": e.stderr,
            "lower": e.lower,
            "upper": e.upper,
            "confidence": e.confidence,
            "num_samples": e.num_samples,
            "num_matvecs": e.num_matvecs,
            "method": e.method,
            "status": str(e.status),
            "seconds": record.seconds,
            **asdict(record.asked),
        }
        for (quantity, component), e in record.estimates.items()
    ]


def _arrays(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "key": record.key,
            "measure": record.measure,
            "version": record.version,
            "name": name,
            "values": np.asarray(values, dtype=np.float64),
            **asdict(record.asked),
        }
        for name, values in record.arrays.items()
    ]


def _provenance(outcome: Outcome) -> dict[str, Any]:
    facts = dict(outcome.provenance)
    row = {name: str(facts.pop(name, "")) for name in ("device", "host", "git")}
    row["threads"] = facts.pop("threads", 0)
    row["config"] = json.dumps(facts.pop("config", {}), sort_keys=True)
    row["versions"] = json.dumps(facts, sort_keys=True)
    return {"provenance_id": digest(row)[:16], **row}
