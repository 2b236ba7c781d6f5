"""tr H of any model by the cheapest road: exact where the outputs are affine in a tensor, fresh probes elsewhere."""

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.depth import deflated_depth
from scalecurv.measures.moments.exact import KnownTrace, mlp_trace, summed_trace
from scalecurv.measures.moments.passes import is_hopeless, trace_by_passes
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered


@remembered
def known_trace(
    evaluation: Evaluation, strategy: Strategy, patient: bool = True, deflating: bool = True
) -> KnownTrace | None:
    """Return tr H, exact or sampled to the tolerance, without a Krylov space; remembered.

    For a piecewise-linear MLP it comes from its structure. For other models it is exact where the outputs are affine in
    every tensor; over other tensors it is sampled by fresh probes (see `trace_by_passes`), which end at the tolerance,
    or when half of the budget's probes are spent, and unless `patient` where no end is promised within them. None where
    the route is "generic", where H is written out and the structure of an MLP does not give the trace, and where fresh
    probes promise no end within the budget and deflated probes of both moments do, unless `deflating` is False.
    """
    found = mlp_trace(evaluation, strategy)
    if found is not None or not strategy.trace_is_known(evaluation.problem):
        return found
    rest = strategy.fresh_tensors(evaluation.problem)
    if not rest and strategy.trace_is_exact(evaluation.problem):
        return summed_trace(evaluation)
    if patient and deflating and rest and is_hopeless(evaluation, strategy, rest):
        deflated = deflated_depth(evaluation, strategy).with_trace
        if deflated is not None and deflated <= strategy.budget.probes:
            return None
    return trace_by_passes(evaluation, strategy, rest, patient)


def exact_trace(evaluation: Evaluation, strategy: Strategy) -> KnownTrace | None:
    """Return tr H where it is an exact sum; None where it would be sampled, which is then not done."""
    if strategy.fresh_tensors(evaluation.problem) or not strategy.trace_is_exact(evaluation.problem):
        return None
    found = known_trace(evaluation, strategy)
    return found if found is not None and found.exact else None
