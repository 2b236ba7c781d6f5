"""The rank of the Jacobian over the data, and the report of where the other parameters go."""

from scalecurv.machine import allowed
from scalecurv.measures.rank.outputs import Output
from scalecurv.measures.rank.rank import Rank
from scalecurv.measures.rank.report import RankReport
from scalecurv.notebook.point import findings_of, given
from scalecurv.problem.problem import Problem
from scalecurv.quantities import SEED
from scalecurv.statistics.estimate import Estimate


def functional_rank(problem: Problem, *, memory: int | None = None, seed: int = SEED) -> Estimate:
    """Return the rank of J, the Jacobian of all outputs over the data, (N D) x P.

    For MLPs of homogeneous activations it is computed modulo random primes, without rounding: it is `certified` where
    a bound from the structure equals it, and otherwise a `lower_bound` (Grigsby, Lindsey and Rolnick 2023). For other
    models it is the number of singular values above max(N D, P) eps sigma_1, in float64. Matrices take at most
    `memory` bytes, and the rank is a lower bound where that is too little. Raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> print(sc.functional_rank(sc.Problem.quadratic(1.0, 3.0)))
        2
    """
    return findings_of(problem, seed, Rank(allowed(memory))).estimates["rank"]


def rank_report(
    problem: Problem,
    *,
    output: Output = "logits",
    functional_dimension: bool = True,
    singular_values: bool = False,
    rank_samples: int | None = None,
    memory: int | None = None,
    seed: int = SEED,
) -> RankReport:
    """Return the report that `scalecurv rank` prints: the rank of J, its profile, and where the parameters go.

    P = rank + dead + rescaling + data-limited + unexplained, as `account`; the numerical ranks at several precisions,
    as `profile`. All numbers are Estimates, by name in `estimates`. `output` "prob" takes the softmax of the outputs.
    `functional_dimension` tries further inputs, which takes minutes where P is in the thousands; it is left out where
    `problem` holds parameters fixed by its option `params`. `singular_values` asks for all singular values of J too,
    which take a decomposition. `rank_samples` is the number of samples that the numbers of an MLP come from, by default
    all, or for more than 20,000 rows of J as many as the work of a few gradients allows. Raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> report = sc.rank_report(sc.Problem.quadratic(1.0, 3.0))
        >>> print(report.estimates["rank"], report.profile["rank_1e3"], report.shape)
        2 2 (2, 2)
    """
    every = given(problem).params is None  # the dimension of the functions is defined for all parameters only
    measure = Rank(allowed(memory), output, functional_dimension and every, singular_values or None, rank_samples)
    shape = (problem.num_data * problem.num_outputs, problem.num_params)
    return RankReport.of(findings_of(problem, seed, measure), shape)
