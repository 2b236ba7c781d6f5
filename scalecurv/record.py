"""What travels from a worker to the store: findings of the measures at one checkpoint, with their identity."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scalecurv.quantities import DERIVED
from scalecurv.statistics.estimate import Estimate, Status


@dataclass(frozen=True)
class Record:
    """What one measure found: estimates by (quantity, component) and arrays by name.

    `component` is "" for the whole model, or a layer's name; of a `block` of parameters, its name stands for "", and
    before that of a layer. Arrays are 1-D float64 factors (Ritz nodes and
    weights, singular values), never curves drawn from them.
    """

    key: str
    measure: str
    estimates: Mapping[tuple[str, str], Estimate]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    version: int = 1
    block: str = ""

    @property
    def failed(self) -> bool:
        """Whether some estimate failed, or nothing at all was found."""
        return not (self.estimates or self.arrays) or any(e.status is Status.FAILED for e in self.estimates.values())


@dataclass(frozen=True)
class FileStamp:
    """What tells one state of a file from another without reading it: size in bytes, times in ns."""

    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Outcome:
    """Everything that one attempt at one checkpoint produced, a failure included.

    `status` is "ok", "partial" (some measure failed), "failed" (`error` says why, nothing else is known) or "twin"
    (equal in content to the checkpoint that `error` names, which stands for it).
    `run` names the training run, the directory that its checkpoints share. `dtype` is that of the products,
    `own_dtype` the one that the checkpoint would have had by default.
    """

    path: str
    status: str
    error: str = ""
    run: str = ""
    stamp: FileStamp | None = None
    fingerprint: str = ""
    step: int | None = None
    epoch: float | None = None
    num_params: int = 0
    architecture: str = ""
    dtype: str = ""
    own_dtype: str = ""
    task_id: str = ""
    task: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    total_matvecs: int = 0
    attempt: int = 1
    records: tuple[Record, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0


def unmet(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """At how many checkpoints each quantity ran out of products before its tolerance was met."""
    counts = _counts(outcomes, Status.BUDGET)
    return {name: count for name, count in counts.items() if name not in DERIVED}


def inconsistent(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """At how many checkpoints a quantity does not agree with what it was checked against."""
    return _counts(outcomes, Status.INCONSISTENT)


def _counts(outcomes: Iterable[Outcome], status: Status) -> dict[str, int]:
    names = (
        quantity
        for outcome in outcomes
        for record in outcome.records
        for (quantity, component), estimate in record.estimates.items()
        if estimate.status is status and component == record.block
    )
    return dict(Counter(names))


def digest(content: Any) -> str:
    """sha256 of the canonical JSON of `content`: equal content, equal digest, whatever the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def measure_key(
    fingerprint: str, task_id: str, measure: str, options: Mapping[str, Any], version: int, dtype: str, seed: int
) -> str:
    """The identity of one measure at one checkpoint: whatever would change its numbers changes the key."""
    return digest(
        {
            "fingerprint": fingerprint,
            "task": task_id,
            "measure": measure,
            "options": dict(options),
            "version": version,
            "dtype": dtype,
            "seed": seed,
        }
    )
