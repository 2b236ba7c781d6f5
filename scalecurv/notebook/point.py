"""The analysis of one problem with one seed, which all functions of the notebook ask: each product is taken once."""

from numbers import Integral

from scalecurv.analysis import Analysis
from scalecurv.errors import Misuse
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.operators.products import check_products
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered


def analysis_of(problem: Problem, seed: int) -> Analysis:
    """Return the analysis of the problem with this seed; it lives as long as the problem does. Raises Misuse."""
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise Misuse(f"seed is {seed!r}; give a whole number from 0 to 2^63 - 1")
    return _analysis_of(given(problem), seed)


@remembered
def _analysis_of(problem: Problem, seed: int) -> Analysis:
    return Analysis(problem, seed)


def given(problem: Problem) -> Problem:
    """Return the problem; raise Misuse where it is something else, such as a model."""
    if isinstance(problem, Problem):
        return problem
    raise Misuse(f"problem is of type {type(problem).__name__}; give scalecurv.Problem(model, (x, y), loss=...)")


def evaluation_of(problem: Problem, seed: int) -> Evaluation:
    """Return the evaluation of the problem after `check_point`; raises Misuse and CheckpointError as it does."""
    return analysis_of(problem, seed).evaluation()


def findings_of(problem: Problem, seed: int, measure: Measure) -> Findings:
    """Return the findings of a measure, which are computed once; raises as `Analysis.compute` does."""
    return _findings_of(given(problem), seed, measure)


@remembered
def _findings_of(problem: Problem, seed: int, measure: Measure) -> Findings:
    return analysis_of(problem, seed).compute(measure)


def checked(problem: Problem) -> Problem:
    """Return the problem after the checks of its derivatives.

    Raises Misuse where the loss is no function of theta alone, CheckpointError where H, J or the gradient does not
    agree with differences.
    """
    preflight(given(problem))
    check_products(problem)
    return problem
