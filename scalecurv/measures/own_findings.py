"""The findings of a measure of one's own: its errors as one line that quotes them, its results checked."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import getsourcefile
from numbers import Real
from pathlib import Path

import numpy as np

from scalecurv.display import kind_of
from scalecurv.errors import CheckpointError, Misuse, is_memory, kind_and_line
from scalecurv.measures.cost import MeasureCost
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.own import is_own
from scalecurv.problem.problem import Problem
from scalecurv.quantities import Quantity
from scalecurv.statistics.estimate import Estimate

_ADVICE = "return Findings({name: Estimate.exact(value, method)}), or another Estimate"


class FaultyMeasure(Misuse):
    """A measure of one's own that raises, or returns what is no Findings of its quantities."""


def findings_of(measure: Measure, evaluation: Evaluation) -> Findings:
    """Return the findings of a measure at a problem, after `measure.check`.

    Raises Misuse where the measure is not defined at the problem, FaultyMeasure where a measure of one's own raises
    or returns what is no Findings of its quantities.
    """
    check_at(measure, evaluation.problem)
    if not is_own(type(measure)):
        return measure.compute(evaluation)
    with _quoted(measure):
        findings = measure.compute(evaluation)
    return checked(measure, findings)


def check_at(measure: Measure, problem: Problem) -> None:
    """Raise Misuse where the measure is not defined at this problem, FaultyMeasure where its check or cost breaks."""
    with _quoted(measure, Misuse):
        measure.check(problem)
        if is_own(type(measure)):  # that of a built-in measure works, and takes a moment
            measure.cost(problem)


def cost_at(measure: Measure, problem: Problem) -> MeasureCost:
    """Return the most that the measure can take at `problem`; raises Misuse as `check_at` does."""
    with _quoted(measure, Misuse):
        return measure.cost(problem)


@contextmanager
def _quoted(measure: Measure, *passing: type[BaseException]) -> Iterator[None]:
    """Turn whatever a measure of one's own raises into FaultyMeasure, except errors of the kinds `passing`.

    Arithmetic that overflows passes, as do errors of the model or the checkpoint, and memory that runs out. Errors of
    built-in measures pass as they are.
    """
    if not is_own(type(measure)):
        yield
        return
    passing = (*passing, CheckpointError, FloatingPointError, OverflowError, KeyboardInterrupt)
    try:
        yield
    except BaseException as error:  # user code may raise anything, and its message is what helps
        if isinstance(error, passing) or is_memory(error):
            raise
        place = _place(measure, error)
        raise FaultyMeasure(f"measure {measure.name} raised {kind_and_line(error)}{place}") from error


def _place(measure: Measure, error: BaseException) -> str:
    """Return the line of the measure's own file that was left last, in parentheses, "" where there is none."""
    try:
        file = getsourcefile(type(measure))
    except TypeError:  # defined in a session
        return ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({Path(file).name}, line {lines[-1]})" if file and lines else ""


def checked(measure: Measure, findings: object) -> Findings:
    """Return the findings after the check that all are of the quantities of the measure, and can be stored.

    Raises FaultyMeasure.
    """
    if not isinstance(findings, Findings):
        raise FaultyMeasure(f"measure {measure.name} returned {kind_of(findings)}; {_ADVICE}")
    described = {quantity.name: quantity for quantity in measure.described}
    for (name, component), estimate in findings.by_component.items():
        if name not in measure.quantities:
            raise FaultyMeasure(
                f"measure {measure.name} returned {name!r}, and describes {', '.join(measure.quantities)}; "
                f"add Quantity({name!r}, meaning) to its described"
            )
        if fault := _fault(described.get(name), estimate):
            of = f"{name!r} of {component!r}" if component else f"{name!r}"
            raise FaultyMeasure(f"measure {measure.name} returned {fault} for {of}")
    for name, array in findings.arrays.items():
        if not (isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == np.float64):
            what = f"{array.ndim}-D {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise FaultyMeasure(f"measure {measure.name} returned a {what} for the array {name!r}; give 1-D float64")
    return findings


def _fault(quantity: Quantity | None, estimate: object) -> str:
    """Return what is wrong with one estimate in words, "" where it can be stored."""
    if not isinstance(estimate, Estimate):
        return f"{kind_of(estimate)}, which is no Estimate; {_ADVICE}"
    ends = (estimate.value, estimate.lower, estimate.upper)
    for number in (*ends, estimate.stderr, estimate.confidence):
        if not isinstance(number, Real):
            return f"an Estimate that holds {kind_of(number)}; make it a float"
    whole = quantity is not None and quantity.integer
    if whole and (broken := [end for end in ends if np.isfinite(end) and end != int(end)]):
        return f"{broken[0]:g}, and describes it as a whole number; leave integer=True out"
    return ""
