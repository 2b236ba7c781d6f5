"""Where the parameters go that the rank does not count."""

from scalecurv.estimate import Estimate
from scalecurv.measures.exact_rank import ExactRank

ACCOUNT = ("account_dead", "account_rescaling", "account_data_limited", "account_unexplained")


def rank_account(exact: ExactRank, num_params: int) -> dict[str, Estimate]:
    """P = rank + dead + rescaling + data_limited + unexplained, over the batch, each at least 0.

    dead: parameters that touch only dead units or zero inputs, each counted once. rescaling: live hidden neurons, one
    direction each. data_limited: what the upper bound leaves of the rest, for want of samples or of variety in them.
    unexplained: the gap between that bound and the rank, of which structure says nothing.
    """
    seen = f"{exact.num_samples} of {exact.num_data} samples"
    left = exact.num_touched - exact.num_rescalings
    return {
        "account_dead": Estimate.exact(num_params - exact.num_touched, "zero columns of J"),
        "account_rescaling": Estimate.exact(exact.num_rescalings, f"one a hidden neuron that is live on {seen}"),
        "account_data_limited": Estimate.exact(
            left - exact.structural_upper, "P - dead - rescaling - upper bound of the rank"
        ),
        "account_unexplained": Estimate.exact(exact.structural_upper - exact.lower, "upper bound of the rank - rank"),
    }
