"""All numbers of several measures at one problem, whose common products are taken once."""

from collections.abc import Iterable, Sequence
from typing import Literal

from scalecurv.errors import Misuse
from scalecurv.machine import allowed
from scalecurv.measures import DEFAULT, measures_named
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.named import Named
from scalecurv.notebook.point import analysis_of, given
from scalecurv.notebook.results import Results
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.quantities import MAX_MATVECS, RTOL, SEED


def analyze(
    problem: Problem,
    measures: Named | Iterable[Named] | None = None,
    *,
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    params: str | None = None,
    route: Literal["exact", "sampled", "generic", "dense"] | None = None,
    output: Literal["logits", "prob"] | None = None,
    functional_dimension: bool | None = None,
    singular_values: bool | None = None,
    rank_samples: int | None = None,
    from_samples: int | None = None,
    radius: float | None = None,
    sigma: float | None = None,
    sgd_batches: Sequence[int] | None = None,
    seed: int = SEED,
) -> Results:
    """Return all findings of several measures: a mapping from names of quantities to Estimates.

    `measures` are names of measures ("moments"), names of quantities ("trace", which stands for the measure that has
    it), Measure classes or Measures with options of their own; None stands for the measures that `scalecurv analyze`
    computes by default. The options have the names and meanings of that command's and go to each measure that has
    them. Products that several measures need are taken once, and what an earlier call took is not taken again. A
    measure whose arithmetic overflows gives estimates of the status `failed`.

    Raises Misuse for an unknown measure, for one that is not defined at this problem, and for two measures that share
    a name or a quantity; and as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> results = sc.analyze(sc.Problem.quadratic(1.0, 3.0), ["moments", "extremes"])
        >>> print(results)
        lambda_max  3  exact
        lambda_min  1  exact
        trace       4  exact
        trace_h2    10  exact
        >>> print(results["trace"], results.parts["trace_h2", "weight"], results.arrays["extremes"]["ritz_values"].size)
        4 10 2
    """
    given(problem)
    chosen = measures_named(
        DEFAULT if measures is None else measures,
        rtol=rtol,
        max_matvecs=max_matvecs,
        memory=allowed(memory),
        params=params,
        route=route,
        output=output,
        functional_dimension=functional_dimension,
        singular_values=singular_values,
        rank_samples=rank_samples,
        from_samples=from_samples,
        radius=radius,
        sigma=sigma,
        sgd_batches=sgd_batches,
    )
    names = [measure.name for measure in chosen]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Misuse(f"measure {twice} is asked for twice, with different options; ask for each in a call of its own")
    analysis = analysis_of(problem, seed)
    before = analysis.total_matvecs
    found = {measure: _attempt(problem, seed, measure) for measure in chosen}
    return Results.of(found, analysis.total_matvecs - before)


@remembered
def _attempt(problem: Problem, seed: int, measure: Measure) -> Findings:
    return analysis_of(problem, seed).attempt(measure)
