"""Curvatures of the graph of the loss: scalar, principal, sectional and Ricci curvature."""

from torch import Tensor

from scalecurv.machine import allowed
from scalecurv.measures.curvature.curvature import Curvature
from scalecurv.measures.curvature.scalar import scalar_curvature as scalar_curvature_at
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.principal.planes import ricci_curvature_at, sectional_curvature_at
from scalecurv.measures.principal.principal import Principal, outermost_curvatures
from scalecurv.notebook.point import evaluation_of, given
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS, RTOL, SEED
from scalecurv.statistics.estimate import Estimate


def scalar_curvature(
    problem: Problem,
    *,
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    from_samples: int | None = None,
    seed: int = SEED,
) -> Estimate:
    """Return the scalar curvature of the graph of the loss, the sum of its sectional curvatures over ordered pairs.

    K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg), T = tr H, F = tr H^2, beta = 1 / (1 + |g|^2), in the units of F
    (Pouplin, Roy, Singh and Arvanitidis 2023). Read it beside beta, as K is small where the gradient g is large.
    Options are those of `trace_h2`, and it raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # T = 4, F = 10 and g = 0
        >>> print(sc.scalar_curvature(problem))
        6
    """
    measure = Curvature(rtol, max_matvecs, allowed(memory), None, from_samples)
    measure.check(given(problem))
    return scalar_curvature_at(evaluation_of(problem, seed), measure.strategy).K  # without the bounds on it


def principal_curvatures(
    problem: Problem, *, rtol: float = RTOL, max_matvecs: int = MAX_MATVECS, memory: int | None = None, seed: int = SEED
) -> dict[str, Estimate]:
    """Return the two largest and the two smallest principal curvatures of the graph of the loss, certified.

    They are the outermost eigenvalues of the shape operator sqrt(beta) G^(-1/2) H G^(-1/2), G = I + gg', in units of H
    (do Carmo 1976), by the names principal_max, principal_max_2, principal_min_2 and principal_min. Options are those
    of `trace`, and it raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 2.0, 5.0)  # the eigenvalues of H, where g = 0
        >>> for name, curvature in sc.principal_curvatures(problem).items():
        ...     print(name, curvature)
        principal_max 5
        principal_max_2 2
        principal_min_2 2
        principal_min 1
    """
    measure = Principal(rtol, max_matvecs, allowed(memory))
    measure.check(given(problem))
    return dict(outermost_curvatures(evaluation_of(problem, seed), measure.strategy))


def sectional_curvature(problem: Problem, u: Tensor, v: Tensor) -> Estimate:
    """Return the sectional curvature of the graph of the loss in the plane of u and v, (P,) each, in units of H^2.

    It is beta (u'Hu v'Hv - (u'Hv)^2) / (|u|^2 |v|^2 - (u.v)^2) in the metric I + gg', from two products in float64.
    Where u and v are two consecutive training steps, the plane is the one in which the run moves. Raises Misuse where u
    and v span no plane, and as `trace` does.

    Example:
        >>> import torch, scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)
        >>> print(sc.sectional_curvature(problem, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])))
        3
    """
    return sectional_curvature_at(evaluation_of(problem, SEED), u, v)


def ricci_curvature(
    problem: Problem,
    u: Tensor,
    *,
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    seed: int = SEED,
) -> Estimate:
    """Return the Ricci curvature in direction u (P,), the sum over P - 1 orthogonal planes through u, in units of H^2.

    Its interval follows from that of tr H. Options are those of `trace`. Raises Misuse where u is no direction, and as
    `trace` does.

    Example:
        >>> import torch, scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0, 4.0)
        >>> print(sc.ricci_curvature(problem, torch.tensor([1.0, 0.0, 0.0])))  # 1 * 3 + 1 * 4
        7
    """
    return ricci_curvature_at(evaluation_of(problem, seed), u, Moments(rtol, max_matvecs, allowed(memory)).strategy)
