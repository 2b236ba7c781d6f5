"""One Problem and a request: its measures, their records."""

import math
import time
from collections.abc import Container
from dataclasses import dataclass, replace

from scalecurv.autodiff.backends import TORCH_FUNC
from scalecurv.errors import CheckpointError
from scalecurv.measures.evaluation import Evaluation, RunTerms, run_here
from scalecurv.measures.gradient import loss_and_slope
from scalecurv.measures.measure import Findings, Measure
from scalecurv.problem.consistency import check_derivatives
from scalecurv.problem.graphs import backend_of
from scalecurv.problem.nonfinite import locate_nonfinite
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.record import Record, measure_key
from scalecurv.statistics.estimate import NAN, Estimate, Status


def check_point(evaluation: Evaluation) -> None:
    """Raise CheckpointError where loss or gradient is not finite, Misuse where the loss is no function of theta.

    Numbers are asked for first: outputs that overflow are not the same twice either, and nothing is to be blamed on
    the model then. At last H and J are checked against differences, for CheckpointError where they are not what they
    claim. Everything is remembered: only the first measure pays.
    """
    loss, grad_norm, _ = loss_and_slope(evaluation)
    for name, value in (("loss", loss), ("gradient norm", grad_norm)):
        if not math.isfinite(value):
            place = locate_nonfinite(evaluation.problem)
            seen = f", first seen in {place}" if place else ""  # a norm can overflow where every entry is finite
            raise CheckpointError(f"the {name} is {value} at these weights{seen}; there is no curvature to speak of")
    preflight(evaluation.problem)
    check_derivatives(evaluation.problem)


@dataclass(frozen=True)
class Identity:
    """What tells this analysis from every other: the weights, the task, the arithmetic."""

    fingerprint: str
    task_id: str
    dtype: str


@dataclass(frozen=True)
class Request:
    """Which measures, with which seed."""

    measures: tuple[Measure, ...]
    seed: int = 0

    def keys(self, identity: Identity) -> dict[str, Measure]:
        """Each measure under the key that its record will carry."""
        return {
            measure_key(
                identity.fingerprint,
                identity.task_id,
                m.name,
                m.options,
                m.version,
                identity.dtype,
                self.seed,
            ): m
            for m in self.measures
        }


def analyze(
    problem: Problem,
    request: Request,
    identity: Identity,
    known: Container[str] = frozenset(),
    run_terms: RunTerms = run_here,
) -> tuple[tuple[Record, ...], int]:
    """The records of the measures whose keys are not `known`, and the number of products taken.

    Raises Misuse where the loss is no function of theta alone, CheckpointError where loss or gradient is not
    finite: nothing else would mean anything. A measure whose arithmetic overflows later gives a record whose
    estimates say `failed`.
    """
    todo = {key: measure for key, measure in request.keys(identity).items() if key not in known}
    evaluations: dict[str | None, Evaluation] = {}  # of the whole model, and of each block of parameters
    records: list[Record] = []
    for key, measure in todo.items():
        began = time.perf_counter()
        if measure.params not in evaluations:
            evaluations[measure.params] = Evaluation(problem.restricted(measure.params), request.seed, run_terms)
        evaluation = evaluations[measure.params]
        try:
            check_point(evaluation)
            measure.check(evaluation.problem)
            findings = measure.compute(evaluation)
        except (FloatingPointError, OverflowError) as error:
            findings = _failed(measure, str(error))
        seconds = time.perf_counter() - began
        name = " ".join(filter(None, (measure.name, measure.block)))
        estimates = _by_road(problem, findings.of_block(measure.block))
        records.append(Record(key, name, estimates, findings.arrays, seconds, measure.version, measure.block))
    return tuple(records), sum(evaluation.total_matvecs for evaluation in evaluations.values())


def _by_road(problem: Problem, estimates: dict[tuple[str, str], Estimate]) -> dict[tuple[str, str], Estimate]:
    """The same, whose methods say where products were taken by plain autograd."""
    road = backend_of(problem)
    if road is TORCH_FUNC:
        return estimates
    return {
        name: replace(e, method=f"by plain {road.name}: {e.method}") if e.num_matvecs else e
        for name, e in estimates.items()
    }


def _failed(measure: Measure, reason: str) -> Findings:
    estimate = Estimate(NAN, NAN, NAN, NAN, NAN, 0, 0, reason, Status.FAILED)
    return Findings(dict.fromkeys(measure.quantities, estimate))
