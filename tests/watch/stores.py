"""Stores made out of nothing, checkpoint by checkpoint, for whoever watches them."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scalecurv.record import Outcome, Record, Stage
from scalecurv.statistics.estimate import Estimate
from scalecurv.store.running import Running
from scalecurv.store.writer import prepare_store, write_part

NOW = 1_700_000_000.0  # seconds since 1970
NOTHING: Mapping[str, Estimate] = MappingProxyType({})


def exact(value: float) -> Estimate:
    return Estimate.exact(value, "sum")


def store_checkpoint(
    store: Path, step: int, numbers: Mapping[str, Estimate] = NOTHING, run: str = "/runs/a", **facts: Any
) -> Path:
    """Store one checkpoint of `run`, made `step` seconds after NOW; return its part."""
    prepare_store(store)
    found = {(name, ""): estimate for name, estimate in numbers.items()}
    own: dict[str, Any] = {
        "status": "ok",
        "step": step,
        "fingerprint": f"{run}-{step}",
        "dtype": "float32",
        "task_id": "t",
        "created": NOW + step,
        "records": (Record(f"{run}-{step}-key", "gradient", found),) if found else (),
    }
    return write_part(store, Outcome(path=f"{run}/step_{step}.pt", run=run, **{**own, **facts}))


def fail_checkpoint(store: Path, step: int, reason: str, run: str = "/runs/a") -> Path:
    return store_checkpoint(store, step, run=run, status="failed", error=reason, fingerprint="", dtype="")


def a_sweep(*stages: Stage, **facts: Any) -> Running:
    """Return a sweep of this process, a minute and 36 of 60 checkpoints old."""
    own: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "written": NOW, "seconds": 60.0}
    counts = {"total": 60, "done": 36, "failed": 1, "stored_seconds": 60.0}
    return Running(**{**own, **counts, "stages": stages, **facts})
