"""One number of the Hessian: its trace, the trace of its square, its extreme eigenvalues."""

from scalecurv.linalg.krylov.extremes import End
from scalecurv.machine import allowed
from scalecurv.measures.extremes import Extremes
from scalecurv.measures.moments.alone import square_alone, trace_alone
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.sampled_ends import end_alone
from scalecurv.notebook.point import evaluation_of, given
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS, RTOL, SEED
from scalecurv.statistics.estimate import Estimate


def trace(
    problem: Problem, *, rtol: float = RTOL, max_matvecs: int = MAX_MATVECS, memory: int | None = None, seed: int = SEED
) -> Estimate:
    """Return the trace of the Hessian, T = tr H = sum_i lambda_i, in units of the loss over parameters squared.

    It pays for the trace alone. Where the outputs are affine in every tensor, as in MLPs, CNNs and ResNets of
    piecewise-linear activations, it is exact and takes one backward pass for each output and no Hessian product.
    Elsewhere fresh probes, one for each block of the data, sample the rest until the half-width of the 95 % interval is
    at most `rtol` |T| (Hutchinson 1990). It is exact where H is written out: for models of at most `max_matvecs`
    parameters, if probes are expected to take more than P/2 products. `memory` limits matrices, in bytes; `seed` draws
    the probes.

    Raises Misuse where the loss is not a differentiable function of theta alone, CheckpointError where it is not
    finite or its derivatives are wrong.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # H = diag(1, 3)
        >>> print(sc.trace(problem))
        4
    """
    strategy = _moments(problem, rtol, max_matvecs, memory).strategy
    return trace_alone(evaluation_of(problem, seed), strategy)


def trace_h2(
    problem: Problem,
    *,
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    from_samples: int | None = None,
    seed: int = SEED,
) -> Estimate:
    """Return F = tr H^2 = |H|_F^2 = sum_i lambda_i^2, in units of the loss squared over parameters to the fourth.

    It pays for tr H^2 alone. For small MLPs of piecewise-linear activations it is an exact sum over pairs of samples,
    without a Hessian product. Elsewhere probes sample it outside a Krylov space (Gambhir, Stathopoulos and Orginos
    2017), or it comes from H written out, if they are expected to take more than P products. The intervals of few
    probes are proven, those of many are Student's. Options are those of `trace`, and it raises as `trace` does.

    With `from_samples` F comes from the inner products of so many samples and a few products of all data, whatever the
    number of samples is: the number is still that of the whole loss. Where H is far from the Gauss-Newton matrix, as
    at random weights under cross entropy, probes are taken all the same, and the method says so.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # H = diag(1, 3)
        >>> print(sc.trace_h2(problem))
        10
    """
    strategy = _moments(problem, rtol, max_matvecs, memory, from_samples).strategy
    return square_alone(evaluation_of(problem, seed), strategy)


def lambda_max(
    problem: Problem,
    *,
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    from_samples: int | None = None,
    seed: int = SEED,
) -> Estimate:
    """Return the largest eigenvalue of H with a two-sided certificate, in units of the loss over parameters squared.

    It pays for the largest eigenvalue alone. The lower end is a Ritz value of a Lanczos run; the upper end bounds what
    a random start can have missed (Kuczynski and Wozniakowski 1992), with a confidence of 99.9 %. The run ends at the
    first step where the half-width is at most `rtol` of the value, or a tenth of `rtol` of |H| near zero. `analyze`
    continues it until the smallest eigenvalue is known too, so that its interval may be narrower. The value is exact
    for models of at most `max_matvecs` parameters, whose H is written out. Options are those of `trace`, and it raises
    as `trace` does.

    With `from_samples` the run is one on so many samples, and six products with the H of all data follow. The value and
    the lower end are a Ritz value of that H; the upper end allows for the error of sampling, at 95 %.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # H = diag(1, 3)
        >>> print(sc.lambda_max(problem))
        3
    """
    return _one_end(problem, Extremes(rtol, max_matvecs, allowed(memory), None, from_samples), seed, "largest")


def lambda_min(
    problem: Problem,
    *,
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    from_samples: int | None = None,
    seed: int = SEED,
) -> Estimate:
    """Return the smallest (algebraic) eigenvalue of H with a two-sided certificate.

    It comes from the Lanczos run of `lambda_max`, whose products are taken once for both, at the first step that
    certifies it. Units and options are those of `lambda_max`, and it raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(1.0, 3.0)  # H = diag(1, 3)
        >>> print(sc.lambda_min(problem))
        1
    """
    return _one_end(problem, Extremes(rtol, max_matvecs, allowed(memory), None, from_samples), seed, "smallest")


def _one_end(problem: Problem, measure: Extremes, seed: int, end: End) -> Estimate:
    """Return one end of the spectrum with the options of the measure, which it checks; raises Misuse."""
    measure.check(given(problem))
    return end_alone(evaluation_of(problem, seed), measure.strategy, end)


def _moments(
    problem: Problem, rtol: float, max_matvecs: int, memory: int | None, from_samples: int | None = None
) -> Moments:
    """Return the measure with these options, which it checks; raises Misuse."""
    measure = Moments(rtol, max_matvecs, allowed(memory), None, from_samples)
    measure.check(given(problem))
    return measure
