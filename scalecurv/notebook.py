"""One number at a time, for a notebook: no files, no store, no cluster."""

from torch import Tensor

from scalecurv.analysis import Analysis
from scalecurv.measures import Curvature, Extremes, Moments, Rank
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.principal.planes import ricci_curvature_at, sectional_curvature_at
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.consistency import check_derivatives
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.quantities import MAX_MATVECS, MEMORY, RTOL, SEED
from scalecurv.statistics.estimate import Estimate


def trace(problem: Problem, *, rtol: float = RTOL, max_matvecs: int = MAX_MATVECS, seed: int = SEED) -> Estimate:
    """Return tr H, in units of the loss over parameters squared; see `measures.Moments` for how.

    Raises Misuse where the loss is not a differentiable function of theta alone, CheckpointError where it is not
    finite or its derivatives are wrong.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> print(scalecurv.trace(problem))
        1
    """
    return _findings(problem, seed, Moments(rtol, max_matvecs)).estimates["trace"]


def scalar_curvature(
    problem: Problem, *, rtol: float = RTOL, max_matvecs: int = MAX_MATVECS, seed: int = SEED
) -> Estimate:
    """Return the scalar curvature K of the graph of the loss; see `measures.Curvature` for how.

    Read it beside beta = 1 / (1 + |g|^2), as K is small where the gradient g is large. Raises as `trace` does.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> with torch.no_grad():
        ...     _ = model.weight.zero_()  # a minimum, where K = (tr H)^2 - tr H^2
        >>> print(scalecurv.scalar_curvature(scalecurv.Problem(model, (x, y), "mse")))
        0.5
    """
    return _findings(problem, seed, Curvature(rtol, max_matvecs)).estimates["scalar_curvature"]


def lambda_max(problem: Problem, *, rtol: float = RTOL, max_matvecs: int = MAX_MATVECS, seed: int = SEED) -> Estimate:
    """Return the largest eigenvalue of H with a two-sided certificate; see `measures.Extremes` for how.

    Raises as `trace` does.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> print(scalecurv.lambda_max(problem))
        0.5
    """
    return _findings(problem, seed, Extremes(rtol, max_matvecs)).estimates["lambda_max"]


def functional_rank(problem: Problem, *, memory: int = MEMORY, seed: int = SEED) -> Estimate:
    """Return the rank of the Jacobian of all outputs over the batch, within `memory` bytes; see `measures.Rank`.

    Raises as `trace` does.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> print(scalecurv.functional_rank(problem))
        2
    """
    return _findings(problem, seed, Rank(memory)).estimates["rank"]


def sectional_curvature(problem: Problem, u: Tensor, v: Tensor) -> Estimate:
    """Return the sectional curvature of the loss manifold in the plane of u and v, (P,) each.

    It is exact and takes two products in float64. Where u and v are two consecutive training steps, the plane is the
    one in which the run moves. Raises Misuse where u and v span no plane, and as `trace` does.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> with torch.no_grad():
        ...     _ = model.weight.zero_()
        >>> flat = scalecurv.Problem(model, (x, y), "mse")
        >>> print(scalecurv.sectional_curvature(flat, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])))
        0.25
    """
    return sectional_curvature_at(_analysis(problem, 0).evaluation(), u, v)


def ricci_curvature(
    problem: Problem, u: Tensor, *, rtol: float = RTOL, max_matvecs: int = MAX_MATVECS, seed: int = SEED
) -> Estimate:
    """Return the Ricci curvature in direction u (P,), the sum over P - 1 orthogonal planes through u.

    Its interval follows from that of tr H. Raises Misuse where u is no direction, and as `trace` does.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> with torch.no_grad():
        ...     _ = model.weight.zero_()
        >>> flat = scalecurv.Problem(model, (x, y), "mse")
        >>> print(scalecurv.ricci_curvature(flat, torch.tensor([1.0, 0.0])))
        0.25
    """
    return ricci_curvature_at(_analysis(problem, seed).evaluation(), u, Moments(rtol, max_matvecs).strategy)


def hessian(problem: Problem) -> HessianOperator:
    """Return the Hessian as an operator: `hessian(problem) @ V` for V of shape (P,) or (P, k).

    Raises Misuse where the loss is no function of theta alone, CheckpointError where H fails its check against
    differences.

    Example:
        >>> import torch, scalecurv
        >>> model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
        >>> x, y = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
        >>> problem = scalecurv.Problem(model, (x, y), "mse")  # H = x'x / 2
        >>> (scalecurv.hessian(problem) @ torch.tensor([2.0, 4.0])).tolist()
        [1.0, 2.0]
    """
    preflight(problem)
    check_derivatives(problem)
    return HessianOperator(problem)


@remembered
def _analysis(problem: Problem, seed: int) -> Analysis:
    return Analysis(problem, seed)


@remembered
def _findings(problem: Problem, seed: int, measure: Measure) -> Findings:
    return _analysis(problem, seed).compute(measure)
