"""The outermost eigenvalues and eigenvectors of the Hessian."""

from scalecurv.linalg.krylov.enclosed import Which
from scalecurv.measures.eigenpairs import EigenPairs, check_request, eigenpairs_of
from scalecurv.measures.route import Strategy
from scalecurv.notebook.point import evaluation_of, given
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS, MEMORY, RTOL, SEED


def eigenpairs(
    problem: Problem,
    k: int = 1,
    *,
    which: Which = "LA",
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int = MEMORY,
    seed: int = SEED,
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

    Raises Misuse for k beyond 1 .. P, and where `max_matvecs` or `memory` is too small for k pairs; and as `trace`
    does. (Lanczos 1950; van Dorsselaer, Hochstenbach and van der Vorst 2000)

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
    strategy = Strategy(rtol, max_matvecs, memory)
    check_request(given(problem), k, which, strategy)
    return eigenpairs_of(evaluation_of(problem, seed), k, which, strategy)
