"""The outermost eigenvalues and eigenvectors of the Hessian."""

from torch import Tensor

from scalecurv.linalg.krylov.enclosed import Which
from scalecurv.machine import allowed
from scalecurv.measures.eigenpairs import EigenPairs, check_request, eigenpairs_beside, eigenpairs_of
from scalecurv.measures.route import Strategy
from scalecurv.notebook.point import evaluation_of, given
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS, RTOL, SEED


def eigenpairs(
    problem: Problem,
    k: int = 1,
    *,
    which: Which = "LA",
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    seed: int = SEED,
    warm: EigenPairs | Tensor | None = None,
) -> EigenPairs:
    """Return the k largest ("LA"), smallest ("SA") or largest in size ("LM") eigenvalues of H with their eigenvectors.

    H v = lambda v, lambda in the units of H. `values` are Estimates, each eigenvalue as often as its multiplicity;
    `vectors` is (P, k) with orthonormal columns, and `problem.unflatten(v)` gives one by the names of parameters;
    `residuals` are the measured |H v - lambda v|. Pairs come from the outermost inwards.

    Where P <= max_matvecs, H is written out, and all is known up to rounding. Elsewhere Lanczos runs take up to
    `max_matvecs` products and `memory` bytes. Runs from fresh starts check them: each interval is a two-sided
    certificate, and `confidence` is the probability that all of them hold. The status is `certified` where an interval
    is within rtol |lambda|, or rtol |H| / 10 for values closer to zero; the residual is no larger than that unless the
    products ran out. For "LM" an interval with the status `budget` may hold two values of opposite sign, where their
    sizes are too close to tell which one is larger.

    `warm` gives vectors to start from, such as the pairs of the checkpoint before: pairs=sc.eigenpairs(problem, k,
    warm=pairs) along a run. Each of its columns takes a product and saves those that would find it. Intervals hold
    with the same confidence whatever `warm` is, as they rest on runs from starts that are independent of it. Values
    differ within their intervals from those without `warm`.

    Raises Misuse for k beyond 1 .. P, where `max_matvecs` or `memory` is too small for k pairs, and where `warm` is no
    block of P rows of finite numbers; and as `trace` does.
    (Lanczos 1950; van Dorsselaer, Hochstenbach and van der Vorst 2000)

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 2.0, 5.0)
        >>> pairs = sc.eigenpairs(problem, 2)
        >>> [value.value for value in pairs.values], pairs.vectors.shape
        ([5.0, 2.0], torch.Size([3, 2]))
        >>> value, vector = pairs[0]
        >>> {name: part.abs().tolist() for name, part in problem.unflatten(vector).items()}
        {'weight': [[0.0, 0.0, 1.0]]}
    """
    strategy = Strategy(rtol, max_matvecs, allowed(memory))
    check_request(given(problem), k, which, strategy)
    if warm is None:
        return eigenpairs_of(evaluation_of(problem, seed), k, which, strategy)
    start = warm.vectors if isinstance(warm, EigenPairs) else warm
    return eigenpairs_beside(evaluation_of(problem, seed), k, which, strategy, start)
