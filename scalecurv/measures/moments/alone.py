"""tr H without tr H^2, and tr H^2 without tr H: each by the products that it needs itself."""

from dataclasses import replace

from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import settled, trace_of
from scalecurv.measures.moments.exact import exact_square
from scalecurv.measures.moments.known import exact_trace, known_trace
from scalecurv.measures.moments.square import square_of
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance

FEW = 4 * FIRST_LOOK  # parameters up to which no sampling is tried, as a first look costs a good share of H itself


@remembered
def trace_alone(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """Return tr H, and compute nothing else; remembered.

    It comes from structure without a Hessian product where that gives it. Elsewhere, where the strategy allows H to be
    written out, fresh probes are tried first, and H is written out once the tolerance is expected to take more of them
    than P/2 products. Where the strategy does not allow it, sampling goes on until the tolerance is met or the budget
    spent.
    """
    if not strategy.dense_is_taken(evaluation.problem) or strategy.route == "dense":
        return trace_of(evaluation, strategy)
    found = _tried_trace(evaluation, replace(strategy, route="sampled"))
    return dense_hessian(evaluation).trace(strategy.rtol) if found is None or _open(found) else found


@remembered
def square_alone(evaluation: Evaluation, strategy: Strategy) -> Estimate:
    """Return tr H^2, and compute nothing else; remembered.

    It comes from the structure of an MLP where that is cheap, else from probes and from H written out, by the rule of
    `trace_alone`.
    """
    squares = exact_square(evaluation, strategy)
    if squares is not None:
        return squares[""]
    if not strategy.dense_is_taken(evaluation.problem):
        return _sampled_square(evaluation, strategy)
    found = None if strategy.route == "dense" else _tried_square(evaluation, strategy)
    return dense_hessian(evaluation).square(strategy.rtol) if found is None or _open(found) else found


def _open(found: Estimate) -> bool:
    return found.status is Status.BUDGET


def _trying(evaluation: Evaluation, strategy: Strategy) -> Strategy | None:
    """Return the strategy of probes whose budget is P products, None where P is so small that none is tried."""
    P = evaluation.problem.num_params
    return replace(strategy, route="sampled", max_matvecs=P) if P > FEW else None


def _tried_trace(evaluation: Evaluation, strategy: Strategy) -> Estimate | None:
    """Return tr H from structure, or from fresh probes; None where P is so small that none are tried.

    It is `budget` from the first look of fresh probes that promises no end within P/2 products.
    """
    problem = evaluation.problem
    if strategy.structure(problem) is None and strategy.fresh_tensors(problem):
        if problem.num_params <= FEW:
            return None
        strategy = replace(strategy, max_matvecs=problem.num_params)
    found = known_trace(evaluation, strategy, patient=False)
    return None if found is None else found.whole


def _tried_square(evaluation: Evaluation, strategy: Strategy) -> Estimate | None:
    """Return tr H^2 from probes, as `budget` at the first look that promises no end within P products."""
    trying = _trying(evaluation, strategy)
    return None if trying is None else _sampled_square(evaluation, trying, trying.square_products(evaluation.problem))


def _sampled_square(evaluation: Evaluation, strategy: Strategy, limit: float = float("inf")) -> Estimate:
    """Return tr H^2 from deflated terms, with the exact tr H as a control where structure gives it."""
    trace, tolerance = exact_trace(evaluation, strategy), Tolerance(strategy.rtol)

    def needed(found: Estimate) -> float:
        sampled = found.num_samples >= FIRST_LOOK  # before, the interval is proven: it does not narrow as 1/sqrt(m)
        wanted = tolerance.terms_needed(found)
        return 0.0 if sampled and wanted > limit else wanted  # 0 ends it: no end is promised within the limit

    control = trace.whole.value if trace is not None else None
    return settled(square_of(evaluation, strategy, control, needed), tolerance)
