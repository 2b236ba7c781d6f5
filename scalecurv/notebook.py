"""One number at a time, for a notebook: no files, no store, no cluster."""

from torch import Tensor

from scalecurv.analysis import check_point
from scalecurv.measures import Curvature, Extremes, Moments, Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Measure
from scalecurv.measures.principal.planes import ricci_curvature_at, sectional_curvature_at
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.consistency import check_derivatives
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate


def _evaluation(problem: Problem, seed: int) -> Evaluation:
    evaluation: Evaluation = problem.cache.setdefault(seed, Evaluation(problem, seed))
    check_point(evaluation)
    return evaluation


def _ask(problem: Problem, measure: Measure, quantity: str, seed: int) -> Estimate:
    evaluation = _evaluation(problem, seed)
    return evaluation.once(measure, lambda: measure.compute(evaluation)).estimates[quantity]


def trace(problem: Problem, *, rtol: float = 0.01, max_matvecs: int = 1000, seed: int = 0) -> Estimate:
    """tr H, in units of the loss over parameters squared; see `measures.Moments`."""
    return _ask(problem, Moments(rtol, max_matvecs), "trace", seed)


def scalar_curvature(problem: Problem, *, rtol: float = 0.01, max_matvecs: int = 1000, seed: int = 0) -> Estimate:
    """K of the graph of the loss; see `measures.Curvature`. Read it beside beta: K is small on any slope."""
    return _ask(problem, Curvature(rtol, max_matvecs), "scalar_curvature", seed)


def lambda_max(problem: Problem, *, rtol: float = 0.01, max_matvecs: int = 1000, seed: int = 0) -> Estimate:
    """The largest eigenvalue of H with a two-sided certificate; see `measures.Extremes`."""
    return _ask(problem, Extremes(rtol, max_matvecs), "lambda_max", seed)


def functional_rank(problem: Problem, *, memory: int = 2 << 30, seed: int = 0) -> Estimate:
    """The rank of the Jacobian of all outputs over the batch; see `measures.Rank`."""
    return _ask(problem, Rank(memory), "rank", seed)


def sectional_curvature(problem: Problem, u: Tensor, v: Tensor) -> Estimate:
    """The sectional curvature of the loss manifold in the plane of u and v, (P,) each: exact, two products in float64.

    Raises Misuse where they span no plane. With the directions of two training steps this is the plane of the run.
    """
    return sectional_curvature_at(_evaluation(problem, 0), u, v)


def ricci_curvature(
    problem: Problem, u: Tensor, *, rtol: float = 0.01, max_matvecs: int = 1000, seed: int = 0
) -> Estimate:
    """The Ricci curvature in direction u (P,), the sum over P - 1 orthogonal planes through u; as exact as tr H is."""
    return ricci_curvature_at(_evaluation(problem, seed), u, Moments(rtol, max_matvecs).strategy)


def hessian(problem: Problem) -> HessianOperator:
    """The Hessian as an operator, checked: `hessian(problem) @ V` for V of shape (P,) or (P, k).

    Raises Misuse where the loss is no function of theta, CheckpointError where H is not what it claims.
    """
    preflight(problem)
    check_derivatives(problem)
    return HessianOperator(problem)
