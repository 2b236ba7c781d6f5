"""The arguments of a monitor, checked before the training begins, and the numbers that were asked for."""

import math
import operator
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from scalecurv.analysis import Request
from scalecurv.checkpoints.run_attributes import Value
from scalecurv.errors import Misuse
from scalecurv.measures.measure import Measure
from scalecurv.measures.named import Named, measures_named
from scalecurv.problem.readiness import check_number
from scalecurv.record import Record
from scalecurv.statistics.estimate import Estimate

PREFIX = "curvature/"  # of the names that loggers get
CHECKED = ("rtol", "max_matvecs", "max_samples", "batch_size", "memory")


@dataclass(frozen=True)
class Asked:
    """The request, and the names that were asked for: those of quantities, and of measures for all that they have."""

    request: Request
    names: frozenset[str]

    @classmethod
    def of(cls, given: Named | Iterable[Named], seed: int, **options: Any) -> "Asked":
        """Return the request of these measures; raises Misuse as `measures_named` does, and for none."""
        several: list[Named] = [given] if isinstance(given, str | Measure | type) else list(given)
        measures = measures_named(several, **options)
        if not measures:
            raise Misuse("measures is empty; give one or more, such as measures=('trace', 'lambda_max')")
        texts = [name.strip() for one in several if isinstance(one, str) for name in one.split(",")]
        own = [one.name for one in several if not isinstance(one, str)]
        known = {measure.name for measure in measures}
        brought = [m.name for m in measures if not any(t in known or t in m.quantities for t in texts)]
        return cls(Request(measures, seed), frozenset((*texts, *own, *brought)))

    def chosen(self, records: Iterable[Record]) -> dict[str, Estimate]:
        """Return the estimates of the whole model that were asked for, by the names of the quantities."""
        return {
            quantity: estimate
            for record in records
            for (quantity, component), estimate in record.estimates.items()
            if component == record.block and not self.names.isdisjoint((quantity, record.measure))
        }


def check_options(every: Any, budget: Any, seed: Any, dtype: Any, numbers: Mapping[str, Any]) -> None:
    """Raise Misuse for an option that is out of its range."""
    if not isinstance(every, Integral) or isinstance(every, bool) or int(every) < 1:
        raise Misuse(f"every is {every!r}; give a whole number of steps from 1 on")
    if budget is not None and (not isinstance(budget, Real) or isinstance(budget, bool) or not 0 < float(budget) <= 1):
        raise Misuse(f"budget is {budget!r}; give a share of the time above 0 and at most 1, or None for no limit")
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63:
        raise Misuse(f"seed is {seed!r}; give a whole number from 0 to 2^63 - 1")
    if dtype not in (None, "float32", "float64"):
        raise Misuse(f"dtype is {dtype!r}; give 'float32' or 'float64', or leave it out")
    for name in CHECKED:
        value = numbers[name]
        check_number(name, value)
        if value is not None and not 0 < value < math.inf:
            raise Misuse(f"{name} is {value}; it must be positive and finite")


def run_named(run: str | os.PathLike[str] | None, store: Path | None) -> str:
    """Return the folder of a run from the root, "run" where nothing is stored; raises Misuse where one is wanted."""
    if run is None and store is not None:
        raise Misuse(f"store is {store} and no run is given; give run='runs/lr0.1', the folder of this training")
    return os.path.abspath(Path("run" if run is None else run).expanduser())


def attributes_of(given: Mapping[str, Any] | None) -> dict[str, Value]:
    """Return the attributes of a run as a store holds them; raises Misuse for other values than numbers and texts."""
    found = dict(given or {})
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, str | bool | int | float):
            raise Misuse(f"attributes has {name!r}: {value!r}; give names with a number, a text or a bool each")
    return found


def numbers_of(found: Mapping[str, Estimate], prefix: str = PREFIX) -> dict[str, float]:
    """Return value, lower and upper end of each estimate by the names that loggers take, without what is not finite.

    Example:
        >>> numbers_of({"trace": Estimate.exact(4.0, "by hand")})
        {'curvature/trace': 4.0, 'curvature/trace_lower': 4.0, 'curvature/trace_upper': 4.0}
    """
    parts = {"": "value", "_lower": "lower", "_upper": "upper"}
    named = {f"{prefix}{name}{end}": getattr(e, part) for name, e in found.items() for end, part in parts.items()}
    return {name: float(number) for name, number in named.items() if math.isfinite(number)}


def moment_of(step: Any, epoch: Any) -> tuple[int, float | None]:
    """Return a step and an epoch as a store holds them; raises Misuse where they are no numbers."""
    try:
        whole = operator.index(step)
    except TypeError:
        raise Misuse(f"step is {step!r}; give the number of updates so far, a whole number") from None
    if abs(whole) >= 2**63:
        raise Misuse(f"step is {whole}; give the number of updates so far, which has at most 64 bits")
    try:
        return whole, None if epoch is None else float(epoch)
    except (TypeError, ValueError):
        raise Misuse(f"epoch is {epoch!r}; give a number, or leave it out") from None
