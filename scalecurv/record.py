"""Records and outcomes, which travel from a worker to the store: findings at one checkpoint, with their identity."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scalecurv.display import Described
from scalecurv.quantities import DERIVED, SEED, Quantity
from scalecurv.statistics.estimate import Estimate, Status


@dataclass(frozen=True)
class Asked:
    """The sharpness that a measure was asked for: it is data of its rows, and no part of their key.

    rtol: the relative half-width of intervals at which sampling ends; 0 where the measure has no tolerance.
    max_matvecs, memory: the most products, and bytes; 0 where the measure has no such limit.
    """

    rtol: float = 0.0
    max_matvecs: int = 0
    memory: int = 0

    def as_sharp_as(self, other: "Asked", offered: int = -1) -> bool:
        """Return True where no limit is wider, and none of the means smaller, than in `other`.

        A memory of `offered` bytes asks for nothing: it is what the machine offers where no memory is given.
        """
        means = self.max_matvecs >= other.max_matvecs and (self.memory >= other.memory or other.memory == offered)
        return self.rtol <= other.rtol and means


@dataclass(frozen=True)
class Stored:
    """The rows that a store holds under one key: how sharply they were asked, each time, and how sharp they are.

    `width` is the largest relative half-width of the intervals of the quantities, from the sharpest time: 0 where all
    are exact or do not apply, infinite where some quantity is a lower bound or there are arrays alone.
    """

    asked: tuple[Asked, ...] = ()
    width: float = math.inf

    def meets(self, asked: Asked, offered: int = -1) -> bool:
        """Return True where what is `asked`, on a machine that offers so many bytes, need not be computed.

        It was asked as sharply before, or every interval is within the tolerance. In the second case a request of more
        products or memory would at most make exact what is within the tolerance already.
        """
        return any(before.as_sharp_as(asked, offered) for before in self.asked) or self.width <= asked.rtol

    def also(self, asked: Asked, width: float = math.inf) -> "Stored":
        """Return it with the rows of one more time."""
        return Stored((*self.asked, asked), min(self.width, width))


@dataclass(frozen=True)
class Record:
    """The findings of one measure: estimates by (quantity, component) and arrays by name.

    `component` is "" for the whole model, or a layer's name. For a `block` of parameters the block's name takes the
    place of "", and precedes a layer's name. Arrays are 1-D float64 factors (Ritz nodes and weights, singular values),
    never curves drawn from them. `asked` is how sharply the measure was asked.
    """

    key: str
    measure: str
    estimates: Mapping[tuple[str, str], Estimate]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    version: int = 1
    block: str = ""
    asked: Asked = Asked()

    @property
    def failed(self) -> bool:
        """True where some estimate failed, or there are neither estimates nor arrays."""
        return not (self.estimates or self.arrays) or any(e.status is Status.FAILED for e in self.estimates.values())


@dataclass(frozen=True)
class Stage:
    """The progress of one checkpoint at a moment: `products` of at most `expected` of one measure.

    `seconds` is the time since the checkpoint was begun, and `taken` its products so far; `measure_seconds` and
    `products` are those of the measure alone. `measure` is "" while the checkpoint is read. `expected` is 0 where
    nobody knows. `worker` names the process, "" for the only one.
    """

    path: str
    worker: str = ""
    seconds: float = 0.0
    taken: int = 0
    measure: str = ""
    measure_seconds: float = 0.0
    products: int = 0
    expected: int = 0

    @property
    def progress(self) -> str:
        """Return the products of the measure in words, "" where it took none.

        Example:
            >>> Stage("a.pt", measure="moments", products=240, expected=1000).progress
            '240 of up to 1,000 products'
        """
        count = f"{self.products:,}"
        if self.products > self.expected > 0:
            return f"{count} products, more than expected"
        if self.expected and self.products:
            return f"{count} of up to {self.expected:,} products"
        return f"{count} products" if self.products else ""

    def after(self, seconds: float) -> "Stage":
        """Return the same stage `seconds` later."""
        return replace(
            self,
            seconds=self.seconds + seconds,
            measure_seconds=self.measure_seconds + seconds if self.measure else 0.0,
        )


Tell = Callable[[Stage], object]  # it is told what is computed


@dataclass(frozen=True)
class FileStamp:
    """The state of a file, known without reading it: size in bytes, time of the last change in ns, inode."""

    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, repr=False)
class Outcome(Described):
    """The result of one attempt at one checkpoint; a failure is a result too.

    `status` is "ok", "partial" (some measure failed), "failed" (`error` says why, nothing else is known) or "twin"
    (equal in content to another checkpoint, whose path is in `error`, and which stands for both).
    `run` is the directory of the training run, which its checkpoints share. `dtype` is the dtype of the products,
    `own_dtype` the dtype of products at this checkpoint where none is asked for. `quantities` are those of measures
    that do not come with this package, with the names of their measures. `seconds` is the time from opening the file to
    the last number, and `engine` is where that work ran ("serial" or "ray"); neither is stored.

    Example:
        >>> import scalecurv as sc
        >>> outcome = sc.Outcome("runs/a/step_10.pt", "failed", "the loss is inf")  # as sc.sweep returns it
        >>> outcome.status, outcome.reason
        ('failed', 'the loss is inf')
        >>> outcome
        Outcome(runs/a/step_10.pt, failed, reason='the loss is inf')
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
    seed: int = SEED
    total_matvecs: int = 0
    attempt: int = 1
    records: tuple[Record, ...] = ()
    quantities: tuple[tuple[Quantity, str], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    seconds: float = field(default=0.0, compare=False)
    engine: str = field(default="", compare=False)

    _bare = ("path", "status")

    @property
    def _facts(self) -> dict[str, str]:
        measures = ", ".join(dict.fromkeys(record.measure for record in self.records))
        known = {"step": self.step, "epoch": self.epoch, "measures": measures or None, "reason": self.reason or None}
        return {"path": self.path, "status": self.status} | {k: repr(v) for k, v in known.items() if v is not None}

    @property
    def reason(self) -> str:
        """Return why it failed, or why some of its measures did, "" where nothing failed."""
        why = [
            f"measure {record.measure} failed: {estimate.method}"
            for record in self.records
            for estimate in record.estimates.values()
            if estimate.status is Status.FAILED
        ]
        return self.error or "; ".join(dict.fromkeys(why))


def unmet(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return for each quantity the number of checkpoints at which products ran out before its tolerance was met."""
    counts = _counts(outcomes, Status.BUDGET)
    return {name: count for name, count in counts.items() if name not in DERIVED}


def inconsistent(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return for each quantity the number of checkpoints at which it disagrees with its cross-check."""
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
    """Return the sha256 of the canonical JSON of `content`, which does not depend on the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def measure_key(
    fingerprint: str, task_id: str, measure: str, options: Mapping[str, Any], version: int, dtype: str, seed: int
) -> str:
    """Return the identity of one measure at one checkpoint: whatever changes what is asked changes the key."""
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
