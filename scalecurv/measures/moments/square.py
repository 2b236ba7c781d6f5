"""tr H^2 by the cheaper of two roads: deflated terms of H, or pairs of samples and the difference of H and G."""

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.sampled import Needed, sampled_square
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate


def square_of(evaluation: Evaluation, strategy: Strategy, trace: float | None, needed: Needed) -> Estimate:
    """Return tr H^2 once needed(estimate) is no more than its probes, else from the whole budget.

    `trace` is the exact tr H, None where it is not known exactly.
    """
    return sampled_square(evaluation, strategy, trace, needed)
