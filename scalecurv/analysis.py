"""The analysis of one problem: its measures are computed, and their findings become records."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from scalecurv.autodiff.backends import TORCH_FUNC
from scalecurv.errors import CheckpointError, first_line
from scalecurv.linalg.counting import Hear
from scalecurv.machine import default_memory
from scalecurv.measures.back_off import HALVINGS, ran_out, told, with_less
from scalecurv.measures.evaluation import Evaluation, RunTerms, run_here
from scalecurv.measures.gradient import loss_and_slope
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.meter import Meter, expected_products
from scalecurv.measures.own import is_own
from scalecurv.measures.own_findings import FaultyMeasure, findings_of
from scalecurv.operators.products import check_products
from scalecurv.problem.graphs import backend_of
from scalecurv.problem.nonfinite import locate_nonfinite
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.quantities import SEED, Quantity
from scalecurv.record import Record, Stored, measure_key
from scalecurv.statistics.estimate import Estimate


@remembered
def check_point(evaluation: Evaluation) -> None:
    """Check that the loss is a finite, differentiable function of theta alone at this point; remembered.

    Raises CheckpointError where loss or gradient is not finite, Misuse where the loss is no function of theta alone,
    and CheckpointError where H or J does not agree with differences. Finiteness is checked first: outputs that
    overflow differ from one pass to the next too, and a later check would blame the model for it.
    """
    loss, grad_norm, _ = loss_and_slope(evaluation)
    for name, value in (("loss", loss), ("gradient norm", grad_norm)):
        if not math.isfinite(value):
            place = locate_nonfinite(evaluation.problem)
            seen = f", first seen in {place}" if place else ""  # a norm can overflow where every entry is finite
            raise CheckpointError(f"the {name} is {value} at these weights{seen}; there is no curvature to speak of")
    preflight(evaluation.problem)
    check_products(evaluation.problem)


class Analysis:
    """The measures of one problem with one seed; products that several of them need are taken once.

    `run_terms` computes the rows of probes, by default in this process, and `hear` is told of products (see
    `Evaluation`).
    """

    def __init__(self, problem: Problem, seed: int = SEED, run_terms: RunTerms = run_here, hear: Hear | None = None):
        self.problem, self.seed = problem, seed
        self._run_terms, self._hear, self._spent = run_terms, hear, 0
        self._evaluations: dict[str | None, Evaluation] = {}  # of the whole model, and of each block of parameters

    def evaluation(self, params: str | None = None) -> Evaluation:
        """Return the evaluation for the parameters that the pattern `params` finds, after `check_point` on it.

        None stands for all parameters. Raises Misuse and CheckpointError as `check_point` does, and Misuse where the
        pattern finds no parameter.
        """
        if params not in self._evaluations:
            problem = self.problem.restricted(params)
            self._evaluations[params] = Evaluation(problem, self.seed, self._run_terms, self._hear)
        check_point(self._evaluations[params])
        return self._evaluations[params]

    def compute(self, measure: Measure) -> Findings:
        """Return the findings of a measure; where memory runs out it begins again with less, once or twice.

        Raises as `evaluation` does, MemoryError where less is not enough, Misuse where the measure with its options is
        not defined at this problem, and FaultyMeasure where a measure of one's own raises, or returns what is no
        Findings.
        """
        for halvings in range(HALVINGS + 1):
            try:
                found = findings_of(measure, self.evaluation(measure.params))
                return told(found, self.problem) if halvings else found
            except (MemoryError, RuntimeError) as error:
                if halvings == HALVINGS or not ran_out(self.problem, error):
                    raise
                reason = first_line(error)
            measure = self._with_less(measure, reason)  # here, where the error keeps no tensor alive
        raise AssertionError("the last attempt returns or raises")

    def _with_less(self, measure: Measure, reason: str) -> Measure:
        """Go over to a problem that takes less memory, and return the measure with less; raise MemoryError for none."""
        self._spent = self.total_matvecs
        self._evaluations.clear()
        less = with_less(measure, self.problem)
        if less is None:
            raise MemoryError(reason)
        measure, self.problem = less
        return measure

    def attempt(self, measure: Measure) -> Findings:
        """Return the findings of a measure, all `failed` where it overflows, or is one's own and raises.

        Raises as `compute` does otherwise.
        """
        try:
            return self.compute(measure)
        except (FloatingPointError, OverflowError, FaultyMeasure) as error:
            return Findings(dict.fromkeys(measure.quantities, Estimate.failed(str(error))))

    @property
    def total_matvecs(self) -> int:
        """Return the number of products taken, each counted once."""
        return self._spent + sum(evaluation.total_matvecs for evaluation in self._evaluations.values())


@dataclass(frozen=True)
class Identity:
    """The weights, the task and the dtype, which together tell an analysis from every other."""

    fingerprint: str
    task_id: str
    dtype: str


@dataclass(frozen=True)
class Request:
    """The measures to compute, the seed of their random vectors, and the memory that is `offered` where none is given.

    Stored numbers are not computed again because a larger machine offers more: only a given memory asks for more.
    """

    measures: tuple[Measure, ...]
    seed: int = SEED
    offered: int = field(default_factory=default_memory)

    def keys(self, identity: Identity) -> dict[str, Measure]:
        """Return each measure by the key of its record; of several with one key, one that is as sharp as all."""
        found: dict[str, Measure] = {}
        for measure in self.measures:
            key = self._key(identity, measure, measure.options)
            found[key] = found[key].sharpened(measure) if key in found else measure
        return found

    @property
    def from_samples(self) -> bool:
        """Return True where some measure is asked to estimate its numbers from samples of the data."""
        return any(getattr(measure, "from_samples", None) is not None for measure in self.measures)

    @property
    def own_quantities(self) -> tuple[tuple[Quantity, str], ...]:
        """Return the quantities of measures that do not come with this package, with the names of their measures."""
        own = dict.fromkeys(type(measure) for measure in self.measures if is_own(type(measure)))
        return tuple((quantity, kind.name) for kind in own for quantity in kind.described)

    def missing(self, identity: Identity, known: Mapping[str, Stored]) -> dict[str, Measure]:
        """Return each measure that no row of `known` (by key) meets, by the key of its record."""
        return {
            key: measure
            for key, measure in self.keys(identity).items()
            if not (key in known and known[key].meets(measure.asked, self.offered))
            and self._key(identity, measure, measure.settings) not in known  # as stores up to schema 3 have it
        }

    def _key(self, identity: Identity, measure: Measure, options: Mapping[str, Any]) -> str:
        weights, task, dtype = identity.fingerprint, identity.task_id, identity.dtype
        return measure_key(weights, task, measure.name, options, measure.version, dtype, self.seed)


def records_of(
    problem: Problem,
    request: Request,
    identity: Identity,
    known: Mapping[str, Stored] = MappingProxyType({}),
    run_terms: RunTerms = run_here,
    meter: Meter | None = None,
) -> tuple[tuple[Record, ...], int]:
    """Return the records of the measures that no row of `known` meets, and the number of products taken.

    `meter` is told of each measure when it begins, and of its products, all but those of `run_terms`.
    Raises Misuse and CheckpointError as `Analysis.compute` does. A measure whose arithmetic overflows, and a measure of
    one's own that raises, give records whose estimates have the status `failed`.
    """
    analysis = Analysis(problem, request.seed, run_terms, meter.products if meter else None)
    records: list[Record] = []
    missing = request.missing(identity, known)
    expected = expected_products(missing.values(), problem) if meter else [0] * len(missing)
    for (key, measure), most in zip(missing.items(), expected, strict=True):
        if meter:
            meter.begin(measure.name, most)
        began = time.perf_counter()
        findings = analysis.attempt(measure)
        seconds = time.perf_counter() - began
        name = " ".join(filter(None, (measure.name, measure.block)))
        estimates = _with_backend(problem, findings.of_block(measure.block))
        records.append(
            Record(key, name, estimates, findings.arrays, seconds, measure.version, measure.block, measure.asked)
        )
    return tuple(records), analysis.total_matvecs


def _with_backend(problem: Problem, estimates: dict[tuple[str, str], Estimate]) -> dict[tuple[str, str], Estimate]:
    """Return the estimates; those that took products name the backend in their method, unless it is torch.func."""
    backend = backend_of(problem)
    if backend is TORCH_FUNC:
        return estimates
    return {
        name: replace(e, method=f"by plain {backend.name}: {e.method}") if e.num_matvecs else e
        for name, e in estimates.items()
    }
