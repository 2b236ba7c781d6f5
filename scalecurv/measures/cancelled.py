"""When rounding shows in a number that is exact by its formula."""

from dataclasses import replace

from scalecurv.estimate import Estimate, Status

CANCELLING = 16 * 2.0**-52  # of what cancels: what rounding may leave of it
VISIBLE = 1e-9  # of a number: below this nobody sees it


def cancelled(estimate: Estimate, size: float) -> Estimate:
    """A difference of numbers of this size: exact no longer where their rounding shows in it."""
    slack = CANCELLING * size
    if estimate.status is not Status.EXACT or slack <= VISIBLE * abs(estimate.value):
        return estimate
    return replace(estimate, status=Status.CERTIFIED).widened(slack)
